"""Messages between the supervisor and its workers: the kinds that a `Channel` carries, and their values."""

import enum
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proxy.config.values import Config
from proxy.observe.access import AccessRecord
from proxy.observe.json_values import Json


class Order(enum.StrEnum):
    """Supervisor to worker."""

    START = "start"  # Start: build everything, then send READY
    SERVE = "serve"  # begin to accept
    DRAIN = "drain"  # refuse new associations; send IDLE when none is left
    RETIRE = "retire"  # Config | None: stop accepting, decide again under Config, exit after the last connection
    END = "end"  # abort open associations, each at its next PDU boundary
    STOP = "stop"  # end everything now
    ASK = "ask"  # (number, Question, value): send ANSWER with the same number


class Question(enum.StrEnum):
    """Questions of the supervisor to a worker: the type of the value, if any, and of the answer."""

    SNAPSHOT = "snapshot"  # -> metrics.Snapshot
    STATUS = "status"  # -> list[AssociationStatus]
    DISCONNECT = "disconnect"  # AssociationFilter -> int


class Report(enum.StrEnum):
    """Worker to supervisor."""

    READY = "ready"
    FAILED = "failed"  # str: why it cannot start
    BEAT = "beat"  # the event loop runs
    LINE = "line"  # (association id of an access record, or None for an event; the formatted line)
    OPENED = "opened"  # (association id, OpenRecord)
    ACCEPTED = "accepted"  # (association id, OpenRecord): the changes by the upstream's answer
    CLOSED = "closed"  # association id
    IDLE = "idle"  # draining, and no association is left
    LEAVING = "leaving"  # metrics.Snapshot: the final values
    ANSWER = "answer"  # (number, value)


@dataclass(frozen=True, slots=True)
class Start:
    """Everything a worker needs. It inherits the descriptors under the numbers given here."""

    config: Config
    sockets: Mapping[str, tuple[int, ...]]  # listener name -> its listening sockets
    table: tuple[int, int, int]  # descriptor, slots, rows of the SharedTable
    slot: int
    siblings: tuple[int, ...]  # slots of all workers of the generation, for balancing
    log_format: str  # json | console
    niceness: int = 0  # setpriority(2)


@dataclass(frozen=True, slots=True)
class AssociationFilter:
    """Selects associations by id, by tenant, or by tenant and peer."""

    id: str | None = None
    tenant: str | None = None
    peer: str | None = None

    def matches(self, id: str, tenant: str, peer: str | None) -> bool:
        """Return whether an association is selected. A filter without a condition selects none."""
        # An id selects by itself. A peer without a tenant selects nothing: peer names are unique in a tenant only.
        if self.id is not None:
            return id == self.id
        return self.tenant is not None and tenant == self.tenant and (self.peer is None or peer == self.peer)


#: The record of an open association: a pickle of the `AccessRecord` and of the monotonic time at which it was made,
#: followed by a pickle for each later change. It takes a fifth of the memory of a dictionary and a third of the work of
#: JSON. It is read only if the worker dies, or for `status`.
OpenRecord = bytes

#: Key of the time at which `duration_s` was taken, by the monotonic clock that all processes share. Only `read_record`
#: returns it; no log contains it.
OPENED_AT = "opened_at"


def open_record(record: AccessRecord, now: float) -> OpenRecord:
    """Return an access record as bytes to keep. `now`: seconds of the monotonic clock."""
    return pickle.dumps((record, now), pickle.HIGHEST_PROTOCOL)


def changes(fields: Mapping[str, Json]) -> OpenRecord:
    """Return a change of an open record, to append to it: the fields to set."""
    return pickle.dumps(fields, pickle.HIGHEST_PROTOCOL)


def read_record(pickles: OpenRecord) -> dict[str, Any]:
    """Return the fields of an open record with its changes applied, as an accepted association."""
    stream = io.BytesIO(pickles)
    record, opened_at = pickle.load(stream)  # noqa: S301 - written by our own process
    # Only records that went to their upstream are kept, which the policy had accepted.
    fields = {**record.to_dict(record.ts_start), "decision": "accepted", OPENED_AT: opened_at}
    while stream.tell() < len(pickles):
        fields |= pickle.load(stream)  # noqa: S301 - written by our own process
    return fields
