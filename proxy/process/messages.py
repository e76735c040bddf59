"""What the supervisor and its workers tell each other (kinds of `Channel` messages and the values they carry)."""

import enum
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proxy.config.values import Config
from proxy.observe.access import AccessRecord, Json


class Order(enum.StrEnum):
    """Supervisor to worker."""

    START = "start"  # Start: say READY when everything is built
    SERVE = "serve"  # begin to accept
    DRAIN = "drain"  # refuse new associations, say IDLE when none is left
    RETIRE = "retire"  # Config | None: stop accepting, decide again under the new one, end with the last connection
    END = "end"  # abort what is open, at the next PDU boundary
    STOP = "stop"  # end everything now
    ASK = "ask"  # (number, Question, value)


class Question(enum.StrEnum):
    """What a worker is asked; each is answered once."""

    SNAPSHOT = "snapshot"  # -> metrics.Snapshot
    STATUS = "status"  # -> list[accounting.AssociationStatus]
    DISCONNECT = "disconnect"  # Selection -> int


class Report(enum.StrEnum):
    """Worker to supervisor."""

    READY = "ready"
    FAILED = "failed"  # str: it cannot start
    BEAT = "beat"  # from the event loop: it turns
    LINE = "line"  # (id of the association whose access record it is, or None for the log; the formatted line)
    OPENED = "opened"  # (association id, OpenRecord)
    ACCEPTED = "accepted"  # (association id, OpenRecord): what the upstream's answer has changed
    CLOSED = "closed"  # association id
    IDLE = "idle"  # draining, and no association is left
    LEAVING = "leaving"  # metrics.Snapshot: the last word
    ANSWER = "answer"  # (number, value)


@dataclass(frozen=True, slots=True)
class Start:
    """All that a worker is handed. Descriptors are inherited under these numbers."""

    config: Config
    sockets: Mapping[str, tuple[int, ...]]  # listener name -> its listening sockets
    table: tuple[int, int, int]  # descriptor, slots, rows of the SharedTable
    slot: int
    siblings: tuple[int, ...]  # slots of all workers of the generation
    log_format: str  # json | console
    niceness: int = 0  # setpriority(2)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which associations: by id, by tenant, or by tenant and peer."""

    id: str | None = None
    tenant: str | None = None
    peer: str | None = None

    def holds(self, id: str, tenant: str, peer: str | None) -> bool:
        """Whether an association is meant. Without any condition none is."""
        if self.id is not None:
            return id == self.id
        return self.tenant is not None and tenant == self.tenant and (self.peer is None or peer == self.peer)


#: An `AccessRecord` so far and the monotonic time of it, pickled, and behind that what has changed since, pickle by
#: pickle: a fifth of the memory of a dictionary, and a third of the work of JSON for what is hardly ever read.
OpenRecord = bytes

#: In an OpenRecord alone: the monotonic clock, which all processes share, when `duration_s` was what it says.
OPENED_AT = "opened_at"


def open_record(record: AccessRecord, now: float) -> OpenRecord:
    """The record as it is at `now`, in seconds of the monotonic clock."""
    return pickle.dumps((record, now), pickle.HIGHEST_PROTOCOL)


def changes(fields: Mapping[str, Json]) -> OpenRecord:
    """What an open record has to be continued with."""
    return pickle.dumps(fields, pickle.HIGHEST_PROTOCOL)


def read_record(pickles: OpenRecord) -> dict[str, Any]:
    """The record, what has changed put in, as of an association that was accepted."""
    stream = io.BytesIO(pickles)
    record, opened_at = pickle.load(stream)  # noqa: S301 - our own child
    fields = {**record.to_dict(record.ts_start), "decision": "accepted", OPENED_AT: opened_at}
    while stream.tell() < len(pickles):
        fields |= pickle.load(stream)  # noqa: S301
    return fields
