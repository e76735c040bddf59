"""Judges each DIMSE request of one association, and counts requests and responses. Pure; time comes from a clock.

The two directions of an association share one `Inspection`, because a response comes the other way than its request:

- A request passes if its command field is among those that the rules of its presentation context allow in its
  direction, and, where it names another SOP class than the context's abstract syntax, among those of that class too.
- A response passes if the rules of the beginning allow its request in the other direction. It is not looked up by its
  message id: a peer may answer later than this remembers, and a response asks for nothing.
- A request that passed is remembered by direction and message id until its final response, for its duration and the
  size of its data set. Message ids of the two directions are independent, hence the direction in the key.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from proxy.dimse.command import C_CANCEL, C_MOVE, C_STORE, MOVE_DESTINATION_UNKNOWN, NOT_AUTHORIZED, Command, DimseError
from proxy.dimse.rules import ContextRules
from proxy.pdu.errors import AbortReason, PduError

#: Requests without a final response that are remembered. More would let a peer that never answers fill the memory.
_MOST_OPEN = 256
_PENDING = frozenset({0xFF00, 0xFF01})  # PS3.7 annex C.1.3
_WARNINGS = frozenset({0x0001, 0x0107, 0x0116})  # PS3.7 annex C.4; and BxxxH
_CANCELED = 0xFE00
_LONGEST_TITLE = 16  # PS3.5 Table 6.2-1, AE: no more is quoted of one


def status_class(status: int) -> str:
    """Return the class of a status (PS3.7 annex C): success, pending, warning, cancel or failure."""
    if not status:
        return "success"
    if status in _PENDING:
        return "pending"
    if status == _CANCELED:
        return "cancel"
    return "warning" if status >> 12 == 0xB or status in _WARNINGS else "failure"


@dataclass(frozen=True, slots=True)
class RefusedCommand:
    """A request that may not pass, and the DIMSE status of the refusal."""

    command: Command
    context_id: int
    status: int
    detail: str


class RefusedTooLate(PduError):
    """A command is refused, and the beginning of its PDU has gone on already."""

    abort_reason = AbortReason.NOT_SPECIFIED

    def __init__(self, refused: RefusedCommand) -> None:
        super().__init__(refused.detail)
        self.refused = refused


@dataclass(slots=True)
class Tally:
    """Counts since the last `Inspection.take`. A command is the command field of a request."""

    requests: Counter[tuple[int, bool]] = field(default_factory=Counter)  # (command, from the requestor)
    responses: Counter[tuple[int, str]] = field(default_factory=Counter)  # (command, status class)
    refused: Counter[tuple[int, int, bool]] = field(default_factory=Counter)  # (command, status, only observed)
    durations: list[tuple[int, float]] = field(default_factory=list)  # (command, seconds to the final response)
    instances: list[tuple[str, str, int]] = field(default_factory=list)  # (group, status class, bytes of the data set)


class OpenRequest:
    """A request without a final response. `size`: bytes of its data set so far."""

    __slots__ = ("command", "group", "since", "size")

    def __init__(self, command: int, group: str, since: float) -> None:
        self.command = command
        self.group = group
        self.since = since
        self.size = 0


class Inspection:
    """The commands of one association, both directions.

    `rules`: by the id of each accepted context. `rules_of`: returns those of a SOP class that a request names on a
    context of another abstract syntax. `may_move_to`: judges a C-MOVE destination. `observed`: called for each
    request that would be refused, which then passes; None: it is refused.
    """

    __slots__ = (
        "_any_response",
        "_clock",
        "_may_move_to",
        "_observed",
        "_open",
        "_rules",
        "_rules_of",
        "_tally",
        "rules",
    )

    def __init__(
        self,
        rules: Mapping[int, ContextRules],
        *,
        rules_of: Callable[[int, str], ContextRules],
        may_move_to: Callable[[str], bool],
        observed: Callable[[RefusedCommand], None] | None,
        clock: Callable[[], float],
    ) -> None:
        self.rules = self._rules = rules  # at the beginning, for responses; now, for requests
        self._rules_of = rules_of
        self._may_move_to = may_move_to
        self._observed = observed
        self._any_response = observed is not None
        self._clock = clock
        self._open: dict[tuple[bool, int], OpenRequest] = {}
        self._tally: Tally | None = None  # created on demand: most of many associations are idle

    def narrow(
        self,
        rules: Mapping[int, ContextRules],
        *,
        rules_of: Callable[[int, str], ContextRules],
        may_move_to: Callable[[str], bool],
        observing: bool,
    ) -> None:
        """Judge further requests by these rules and by the first ones: what either refuses does not pass."""
        self._rules = {
            context_id: replace(
                first,
                from_requestor=first.from_requestor & rules[context_id].from_requestor,
                from_acceptor=first.from_acceptor & rules[context_id].from_acceptor,
            )
            for context_id, first in self.rules.items()
        }
        self._rules_of = rules_of
        self._may_move_to = may_move_to
        if not observing:
            self._observed = None

    def take(self) -> Tally | None:
        """Return the counts since the last call, None if there are none."""
        tally, self._tally = self._tally, None
        return tally

    def _seen(self) -> Tally:
        if self._tally is None:
            self._tally = Tally()
        return self._tally

    def request(
        self, context_id: int, command: Command, *, from_requestor: bool
    ) -> RefusedCommand | OpenRequest | None:
        """Judge a request. Returns an OpenRequest if it passes, None for a C-CANCEL, which has no response."""
        rules = self._rules[context_id]
        named = command.sop_class.rstrip(b"\0 ").decode("latin-1")
        refused = None
        if command.field not in rules.requests(from_requestor=from_requestor):
            who = "the requestor" if from_requestor else "the acceptor"
            detail = f"{command.name} from {who} on a presentation context of {rules.abstract_syntax}"
            refused = RefusedCommand(command, context_id, NOT_AUTHORIZED, detail)
        elif (
            named
            and named != rules.abstract_syntax
            and command.field not in self._rules_of(context_id, named).requests(from_requestor=from_requestor)
        ):
            # A PACS goes by the class that the command names: a C-FIND on the worklist's context can ask for studies.
            detail = f"{command.name} of {named!r} on a presentation context of {rules.abstract_syntax}"
            refused = RefusedCommand(command, context_id, NOT_AUTHORIZED, detail)
        elif command.field == C_MOVE and not self._may_move_to(command.move_destination):
            detail = f"C-MOVE to {command.move_destination[:_LONGEST_TITLE]!r}"
            refused = RefusedCommand(command, context_id, MOVE_DESTINATION_UNKNOWN, detail)
        if refused is not None:
            self._seen().refused[command.field, refused.status, self._observed is not None] += 1
            if self._observed is None:
                return refused
            self._observed(refused)
        self._seen().requests[command.field, from_requestor] += 1
        if command.field == C_CANCEL:
            return None
        if len(self._open) >= _MOST_OPEN:
            del self._open[next(iter(self._open))]
        opened = OpenRequest(command.field, rules.group, self._clock())
        self._open[from_requestor, command.message_id] = opened
        return opened

    def response(self, context_id: int, command: Command, *, from_requestor: bool) -> bool:
        """Count a response; return whether it is the final one to its request.

        Raises DimseError if the rules do not let the other side send the request.
        """
        rules = self.rules[context_id]  # requests from before `narrow` are still answered
        request = command.request
        if request not in rules.requests(from_requestor=not from_requestor) and not self._any_response:
            raise DimseError(
                f"a {command.name} response on a context of {rules.abstract_syntax}, where none is asked for"
            )
        assert command.status is not None
        kind = status_class(command.status)
        self._seen().responses[request, kind] += 1
        if kind == "pending":
            return False
        opened = self._open.pop((not from_requestor, command.message_id), None)
        if opened is None or opened.command != request:
            return True
        self._seen().durations.append((request, self._clock() - opened.since))
        if request == C_STORE:
            self._seen().instances.append((opened.group, kind, opened.size))
        return True
