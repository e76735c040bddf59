"""Access records, refused operations and bugs of associations, written within a limit for each sender."""

import time
from collections.abc import Iterable
from typing import Protocol

from proxy.observe.access import AccessRecord
from proxy.observe.events import Events
from proxy.observe.json_values import Json
from proxy.observe.suppression import Key, RefusalLimiter
from proxy.policy import Reason


class Journal(Events, Protocol):
    """The log of the gateway: events and access records. A call never blocks."""

    def access(self, record: dict[str, Json]) -> None:
        """Write one access record."""

    def opened(self, record: AccessRecord) -> None:
        """Keep the record so far, because the request goes to the upstream now.

        From here on the PACS may act for this sender. If the worker is killed, the supervisor completes and writes the
        record (`worker_lost`).
        """

    def accepted(self, record: AccessRecord) -> None:
        """Replace the kept record: the upstream has accepted."""

    def closed(self, id: str) -> None:
        """Drop the kept record: the association has ended and its record is written."""


class Records:
    """Writes access records and events of one worker. Repeated refusals of one sender are counted and summed up."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._limiter = RefusalLimiter()

    def write(self, record: AccessRecord) -> None:
        """Write an access record, unless it is one of many similar refusals of the same sender."""
        if record.decision == "accepted" or self._admit(record, record.reason):
            self._journal.access(record.to_dict(time.time()))

    def operation_refused(self, record: AccessRecord, reason: Reason, detail: str) -> None:
        """Log that an operation was refused on a live association, within the limit of its sender."""
        if self._admit(record, reason):
            self._journal.event(
                "warning",
                "operation_refused",
                id=record.id,
                tenant=record.tenant,
                peer=record.peer,
                calling_aet=record.calling_aet,
                reason=str(reason),
                detail=detail,
            )

    def bug(self, message: str, error: BaseException) -> None:
        """Log a bug of the gateway: type, text and place of the exception. The log escapes the text."""
        # The innermost frame is the line that raised.
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        try:
            place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "?"
            text = f"{type(error).__name__}: {error}"
            self._journal.event("error", "internal", message=message, error=text, at=place)
        except MemoryError:
            pass  # most likely the very error that was to be logged

    def sum_up(self) -> None:
        """Log how many refusals were suppressed in each period that has ended."""
        self._write_suppressed(self._limiter.expired(time.monotonic()))

    def close(self) -> None:
        """Log how many refusals were suppressed in periods that have not ended yet."""
        self._write_suppressed(self._limiter.drain(time.monotonic()))

    def _admit(self, record: AccessRecord, reason: Reason | None) -> bool:
        """Return whether this refusal may be written by itself. If not, the limiter has counted it."""
        return self._limiter.admit((str(record.client_ip), record.calling_aet or "", str(reason)), time.monotonic())

    def _write_suppressed(self, suppressed: Iterable[tuple[Key, int]]) -> None:
        for (address, calling, reason), count in suppressed:
            self._journal.event(
                "warning", "refusals_suppressed", address=address, calling_aet=calling, reason=reason, suppressed=count
            )
