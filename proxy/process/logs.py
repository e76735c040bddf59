"""The logs of the gateway. Only the supervisor writes them: its own events, and the lines that workers format."""

import sys
from collections.abc import Mapping

from proxy.config.values import Config
from proxy.observe.log import LogSink


class SupervisorLogs:
    """The application log on standard output, and the access log there or in a file of its own."""

    def __init__(self, config: Config) -> None:
        """Raises OSError if the access log cannot be opened."""
        log = config.log
        self.format = log.format or ("console" if sys.stdout.isatty() else "json")
        self._application = LogSink(sys.stdout, format=self.format, level=log.level)
        self._access = self._application
        if log.access_path != "-":
            self._access = LogSink(log.access_path, format="json", level=log.level, failures=self._application)

    def event(self, level: str, name: str, **fields: object) -> None:
        """Write an event to the application log."""
        self._application.event(level, name, **fields)

    def write_record(self, record: Mapping[str, object]) -> None:
        """Write an access record."""
        self._access.access(record)

    def write_line(self, access: bool, line: bytes) -> None:
        """Write a line that a worker formatted, to the access log or to the application log."""
        (self._access if access else self._application).write(line)

    @property
    def dropped(self) -> int:
        """Return the number of lines lost since the start."""
        return self._application.dropped + (self._access.dropped if self._access is not self._application else 0)

    def reopen(self) -> None:
        """Reopen the access log after a log rotation (SIGUSR1)."""
        self._application.reopen()
        if self._access is not self._application:
            self._access.reopen()

    def close(self) -> None:
        """Write all waiting lines, then close."""
        if self._access is not self._application:  # first: its failures are logged to the application log
            self._access.close()
        self._application.close()
