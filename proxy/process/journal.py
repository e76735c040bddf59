"""The supervisor's log: its own events, and the lines of its workers, written by one thread per sink."""

import sys
from collections.abc import Mapping

from proxy.config.values import Config
from proxy.observe.eventlog import EventLog


class Journal:
    """The application log on standard output, and the access log there or in a file of its own."""

    def __init__(self, config: Config) -> None:
        """Raises OSError where the access log cannot be opened."""
        log = config.log
        self.format = log.format or ("console" if sys.stdout.isatty() else "json")
        self._log = EventLog(sys.stdout, format=self.format, level=log.level)
        self._access = self._log
        if log.access_path != "-":
            self._access = EventLog(log.access_path, format="json", level=log.level, failures=self._log)

    def event(self, level: str, name: str, **fields: object) -> None:
        """One line of the application log."""
        self._log.event(level, name, **fields)

    def write_record(self, record: Mapping[str, object]) -> None:
        """One access record."""
        self._access.access(record)

    def write_line(self, access: bool, line: bytes) -> None:
        """A line that a worker formatted."""
        (self._access if access else self._log).write(line)

    @property
    def dropped(self) -> int:
        """Lines lost since the start."""
        return self._log.dropped + (self._access.dropped if self._access is not self._log else 0)

    def reopen(self) -> None:
        """After a log rotation."""
        self._log.reopen()
        if self._access is not self._log:
            self._access.reopen()

    def close(self) -> None:
        """Write what waits."""
        if self._access is not self._log:
            self._access.close()
        self._log.close()
