"""The journal of a worker: log lines and access records are formatted here and sent to the supervisor.

The supervisor keeps the record of every association that has gone to its upstream until the worker closes it. If the
worker is killed, the supervisor writes that record: each association leaves exactly one.
"""

import time
from collections.abc import Mapping
from typing import Any

from proxy.observe.access import AccessRecord
from proxy.observe.json_values import Json
from proxy.observe.lines import console_line, json_line
from proxy.observe.log import LEVELS, event_record
from proxy.process.channel import Channel
from proxy.process.messages import Report, changes, open_record


class ChannelJournal:
    """The `Journal` of a worker. Lines are dropped and counted while the supervisor is too slow; it never blocks."""

    def __init__(self, channel: Channel, level: str, form: str) -> None:
        """`form` is json or console."""
        self._channel = channel
        self._threshold = LEVELS[level]
        self._format = console_line if form == "console" else json_line
        self._open: set[str] = set()  # ids of the associations that the supervisor keeps a record of

    def event(self, level: str, name: str, **fields: Any) -> None:
        """Write an event to the application log."""
        if LEVELS[level] >= self._threshold:
            self._offer(None, event_record(level, name, fields))

    def access(self, record: dict[str, Json]) -> None:
        """Write an access record. On receiving its line the supervisor closes the association too."""
        id = str(record["id"])
        if self._offer(id, record):
            self._open.discard(id)

    def opened(self, record: AccessRecord) -> None:
        """Hand the supervisor the record of a request that goes to its upstream."""
        self._open.add(record.id)
        self._channel.send(Report.OPENED, (record.id, open_record(record, time.monotonic())))

    def accepted(self, record: AccessRecord) -> None:
        """Hand over what the upstream's answer has changed; the whole record would cost ten times as much."""
        self._channel.send(Report.ACCEPTED, (record.id, changes({"contexts": record.contexts()})))

    def closed(self, id: str) -> None:
        """Close an association whose record was not sent: it was summed up with others, or dropped."""
        if id in self._open:
            self._open.remove(id)
            self._channel.send(Report.CLOSED, id)

    def _offer(self, id: str | None, record: Mapping[str, object]) -> bool:
        return self._channel.offer(Report.LINE, (id, self._format(record).encode("ascii") + b"\n"))
