"""A log of events and access records: one line each, with UTC times."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from proxy.observe.lines import console_line, json_line
from proxy.observe.times import rfc3339
from proxy.observe.writer import LineWriter

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

#: Bytes that may wait for a slow sink before lines are dropped (docs/architecture.md, "Processes").
CAPACITY = 1024 * 1024


class LogSink:
    """Writes events and access records to one sink: a path, or a stream that has a descriptor (standard output).

    `format`: json or console. `failures`: the log that reports that the file of this one could not be reopened, because
    after a rotation the old file may have been removed. Only `close` waits for the sink. Raises OSError if the file
    cannot be opened.
    """

    def __init__(
        self,
        sink: str | Path | IO[str] | IO[bytes],
        *,
        format: str = "json",
        level: str = "info",
        capacity_bytes: int = CAPACITY,
        failures: "LogSink | None" = None,
    ) -> None:
        self._format = console_line if format == "console" else json_line
        self._threshold = LEVELS[level]
        self._writer = LineWriter(
            sink,
            capacity_bytes,
            lambda name, fields: self._line(event_record("warning", name, fields)),
            None if failures is None else lambda fields: failures.event("warning", "log_reopen_failed", **fields),
        )

    @property
    def dropped(self) -> int:
        """Return the number of lines lost since the start, for `log_dropped_total`."""
        return self._writer.dropped

    def enabled(self, level: str) -> bool:
        """Return whether events of this level are written. Ask before preparing a costly one."""
        return LEVELS[level] >= self._threshold

    def event(self, level: str, name: str, /, **fields: object) -> None:
        """Write an event of the table `events.EVENTS` if its level is enabled. Fields that are None are left out."""
        if self.enabled(level):
            self._writer.put(self._line(event_record(level, name, fields)))

    def access(self, record: Mapping[str, object]) -> None:
        """Write an access record (`AccessRecord.to_dict`), whatever the level."""
        self._writer.put(self._line(record))

    def write(self, line: bytes) -> None:
        """Write a line that was formatted elsewhere, its newline included."""
        self._writer.put(line)

    def reopen(self) -> None:
        """Reopen the file before the next line (SIGUSR1, after a log rotation)."""
        self._writer.reopen()

    def close(self, timeout: float = 5.0) -> None:
        """Write the waiting lines, for at most `timeout` seconds. Drop and count the rest."""
        self._writer.close(timeout)

    def _line(self, record: Mapping[str, object]) -> bytes:
        return self._format(record).encode("ascii") + b"\n"


def event_record(level: str, name: str, fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of an event's line."""
    known = {key: value for key, value in fields.items() if value is not None}
    return {"ts": rfc3339(time.time()), "level": level, "event": name, **known}
