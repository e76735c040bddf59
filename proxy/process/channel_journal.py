"""The journal of a worker: formats log lines and access records, and sends them to the supervisor.

The supervisor keeps an open record of every association that has gone to its upstream, until the worker closes it. If
the worker is killed, the supervisor writes that record, so that each association leaves exactly one:

    OPENED -> ACCEPTED -> LINE with the id       the usual end; the line closes the open record
    OPENED -> ACCEPTED -> CLOSED                 the line was summed up with others, or dropped
    OPENED -> end of the process                 the supervisor writes the open record, `worker_lost`
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
        """Write an access record. Its line also closes the open record in the supervisor."""
        id = str(record["id"])
        # A dropped line leaves the id in `_open`: then `closed` closes the record with a control message, which is
        # never dropped. Otherwise the supervisor would keep it, and write it as `worker_lost` at the end.
        if self._offer(id, record):
            self._open.discard(id)

    def opened(self, record: AccessRecord) -> None:
        """Give the supervisor the record of a request that goes to its upstream."""
        self._open.add(record.id)
        self._channel.send(Report.OPENED, (record.id, open_record(record, time.monotonic())))

    def accepted(self, record: AccessRecord) -> None:
        """Send the changes by the upstream's answer. The whole record would cost ten times as much."""
        self._channel.send(Report.ACCEPTED, (record.id, changes({"contexts": record.contexts()})))

    def closed(self, id: str) -> None:
        """Close the open record of an association, if no line of it has been sent."""
        if id in self._open:
            self._open.remove(id)
            self._channel.send(Report.CLOSED, id)

    def _offer(self, id: str | None, record: Mapping[str, object]) -> bool:
        return self._channel.offer(Report.LINE, (id, self._format(record).encode("ascii") + b"\n"))
