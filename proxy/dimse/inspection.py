"""What is decided on each DIMSE command of one association, and what is counted of them. Pure; time comes from a clock.

The two directions of an association share one `Inspection`: a response goes the other way than its request.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from proxy.dimse.command import C_CANCEL, C_MOVE, C_STORE, MOVE_DESTINATION_UNKNOWN, NOT_AUTHORIZED, Command, DimseError
from proxy.dimse.rules import ContextRules

#: Requests that wait for their response and are remembered; a peer that never answers must not fill our memory.
_MOST_OPEN = 256
_PENDING = frozenset({0xFF00, 0xFF01})  # PS3.7 annex C.1.3
_WARNINGS = frozenset({0x0001, 0x0107, 0x0116})  # PS3.7 annex C.4; and BxxxH
_CANCELED = 0xFE00


def status_class(status: int) -> str:
    """PS3.7 annex C: success, pending, warning, cancel or failure."""
    if not status:
        return "success"
    if status in _PENDING:
        return "pending"
    if status == _CANCELED:
        return "cancel"
    return "warning" if status >> 12 == 0xB or status in _WARNINGS else "failure"


@dataclass(frozen=True, slots=True)
class RefusedCommand:
    """A request that may not pass, and the DIMSE status that says so."""

    command: Command
    context_id: int
    status: int
    detail: str


@dataclass(slots=True)
class Tally:
    """What was seen since the last `Inspection.take`. Commands by the command field of their request."""

    requests: Counter[tuple[int, bool]] = field(default_factory=Counter)  # (command, from the requestor)
    responses: Counter[tuple[int, str]] = field(default_factory=Counter)  # (command, status class)
    refused: Counter[tuple[int, int, bool]] = field(default_factory=Counter)  # (command, status, only observed)
    durations: list[tuple[int, float]] = field(default_factory=list)  # (command, seconds to the final response)
    instances: list[tuple[str, str, int]] = field(default_factory=list)  # (group, status class, bytes of the data set)


class OpenRequest:
    """A request that waits for its response; `size` is that of its data set (bytes) so far."""

    __slots__ = ("command", "group", "since", "size")

    def __init__(self, command: int, group: str, since: float) -> None:
        self.command = command
        self.group = group
        self.since = since
        self.size = 0


class Inspection:
    """The commands of one association, both directions.

    `rules`: by id of each accepted presentation context. `may_move_to` judges a C-MOVE destination. With `observed`
    what would be refused passes, and is told there.
    """

    __slots__ = ("_clock", "_may_move_to", "_observed", "_open", "_rules", "tally")

    def __init__(
        self,
        rules: Mapping[int, ContextRules],
        *,
        may_move_to: Callable[[str], bool],
        observed: Callable[[RefusedCommand], None] | None,
        clock: Callable[[], float],
    ) -> None:
        self._rules = rules
        self._may_move_to = may_move_to
        self._observed = observed
        self._clock = clock
        self._open: dict[tuple[bool, int], OpenRequest] = {}
        self.tally = Tally()

    def take(self) -> Tally | None:
        """What was seen since the last call; None: nothing."""
        tally = self.tally
        if not (tally.requests or tally.responses or tally.refused):
            return None
        self.tally = Tally()
        return tally

    def request(
        self, context_id: int, command: Command, *, from_requestor: bool
    ) -> RefusedCommand | OpenRequest | None:
        """Judge a request. One that passes is given with its place for the size of its data set; None: a C-CANCEL."""
        rules = self._rules[context_id]
        allowed = rules.from_requestor if from_requestor else rules.from_acceptor
        refused = None
        if command.field not in allowed:
            who = "the requestor" if from_requestor else "the acceptor"
            detail = f"{command.name} from {who} on a presentation context of {rules.abstract_syntax}"
            refused = RefusedCommand(command, context_id, NOT_AUTHORIZED, detail)
        elif command.field == C_MOVE and not self._may_move_to(command.move_destination):
            detail = f"C-MOVE to {command.move_destination!r}"
            refused = RefusedCommand(command, context_id, MOVE_DESTINATION_UNKNOWN, detail)
        if refused is not None:
            self.tally.refused[command.field, refused.status, self._observed is not None] += 1
            if self._observed is None:
                return refused
            self._observed(refused)
        self.tally.requests[command.field, from_requestor] += 1
        if command.field == C_CANCEL:
            return None
        if len(self._open) >= _MOST_OPEN:
            del self._open[next(iter(self._open))]
        opened = OpenRequest(command.field, rules.group, self._clock())
        self._open[from_requestor, command.message_id] = opened
        return opened

    def response(self, context_id: int, command: Command, *, from_requestor: bool) -> bool:
        """Count a response; whether it is the last one to its request.

        Raises DimseError where the other side may not have sent the request.
        """
        rules = self._rules[context_id]
        request = command.request
        asked = rules.from_acceptor if from_requestor else rules.from_requestor
        if request not in asked and self._observed is None:
            raise DimseError(
                f"a {command.name} response on a context of {rules.abstract_syntax}, where none is asked for"
            )
        assert command.status is not None
        kind = status_class(command.status)
        self.tally.responses[request, kind] += 1
        if kind == "pending":
            return False
        opened = self._open.pop((not from_requestor, command.message_id), None)
        if opened is None or opened.command != request:
            return True
        self.tally.durations.append((request, self._clock() - opened.since))
        if request == C_STORE:
            self.tally.instances.append((opened.group, kind, opened.size))
        return True
