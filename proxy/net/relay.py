"""The relay of an accepted association: two flows of bytes, and the rules by which they end.

An association ends by PDUs. When a leg dies without them, what was received from it is delivered first; then the other
leg gets an A-ABORT if the last byte it was given ended a PDU, and is reset if it did not: bytes of ours inside a PDU of
theirs would be taken for pixel data and stored (invariant 4, docs/architecture.md).
"""

import asyncio
import enum
from typing import Protocol

from proxy.dimse.command import MOVE_DESTINATION_UNKNOWN, refusing_response
from proxy.dimse.inspection import Inspection, RefusedCommand
from proxy.dimse.walk import MessageWalk, RefusedTooLate
from proxy.net.leg import Leg
from proxy.net.linger import linger, reset_when_delivered
from proxy.pdu import encode_abort
from proxy.pdu.encode import encode_command_set
from proxy.pdu.errors import PduError
from proxy.policy import Ended, Reason
from proxy.tls.failures import tls_failure_in_words

_BY_SERVICE_PROVIDER = 2  # PS3.8 Table 9-26
#: Responses of ours that may wait for the end of a message, or for a peer that does not read.
_MOST_ANSWERS = 16


class RelayOwner(Protocol):
    """The association that a relay works for."""

    def relay_paused(self, side: str) -> None:
        """A side is not read from for a while, because the other one cannot take more."""

    def relay_refused(self, refused: RefusedCommand) -> None:
        """A DIMSE request was swallowed; the association goes on."""

    def relay_ended(self, ended: Ended, reason: Reason | None, detail: str) -> None:
        """Both legs are closed."""


class _State(enum.Enum):
    RUNNING = enum.auto()
    ENDING = enum.auto()  # goes on to the next PDU boundary, then ends with an A-ABORT
    DONE = enum.auto()  # nothing more goes to the sink; what the source still says is dropped


class _Flow:
    """One direction: bytes from `source` to `sink`, what the walk left over, and responses of ours to `sink`."""

    __slots__ = ("answers", "held_back", "longest_pdu", "reset_sink", "sink", "source", "state", "walk")

    def __init__(self, source: Leg, sink: Leg, walk: MessageWalk, longest_pdu: int) -> None:
        self.source = source
        self.sink = sink
        self.walk = walk
        self.longest_pdu = longest_pdu  # that the sink takes: its maximum length (PS3.8 annex D.1), 0: any
        self.held_back = b""
        self.answers: tuple[bytes, ...] = ()  # wait for the end of a message
        self.state = _State.RUNNING
        self.reset_sink = False


class Relay:
    """Moves bytes between the two legs of one association until both are closed. Owns the legs from here on."""

    __slots__ = (
        "_abort_reason",
        "_asynchronous",
        "_close_timeout",
        "_closing",
        "_deadline",
        "_down",
        "_loop",
        "_open_legs",
        "_outcome",
        "_owner",
        "_unacknowledged",
        "_up",
        "inspection",
    )

    def __init__(
        self,
        owner: RelayOwner,
        requestor: Leg,
        upstream: Leg,
        accepted_contexts: frozenset[int],
        inspection: Inspection,
        *,
        longest_to_requestor: int,
        longest_to_upstream: int,
        asynchronous: bool,
        loop: asyncio.AbstractEventLoop,
        close_timeout: float,
        unacknowledged: float,
    ) -> None:
        self._owner = owner
        self._loop = loop
        self._close_timeout = close_timeout
        self._unacknowledged = unacknowledged
        self.inspection = inspection
        self._asynchronous = asynchronous  # requests may follow each other without a response between them
        up = MessageWalk(accepted_contexts, inspection, from_requestor=True)
        down = MessageWalk(accepted_contexts, inspection, from_requestor=False)
        up.opposite, down.opposite = down, up
        self._up = _Flow(requestor, upstream, up, longest_to_upstream)
        self._down = _Flow(upstream, requestor, down, longest_to_requestor)
        self._abort_reason = 0
        self._outcome: tuple[Ended, Reason | None, str] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._closing = False
        self._open_legs = 2

    @property
    def to_upstream(self) -> MessageWalk:
        """What went from the requestor to the upstream."""
        return self._up.walk

    @property
    def to_requestor(self) -> MessageWalk:
        """What went from the upstream to the requestor."""
        return self._down.walk

    @property
    def ending(self) -> bool:
        """Whether its outcome is known."""
        return self._outcome is not None

    def start(self, from_requestor: bytes, from_upstream: bytes) -> None:
        """Begin, with what was read before: the start of an A-ABORT, and what came behind the A-ASSOCIATE-AC."""
        for leg in (self._up.source, self._down.source):
            leg.owner = self
            leg.associated = True
            leg.acknowledges = False  # see `readable`
        for flow, data in ((self._up, from_requestor), (self._down, from_upstream)):
            if data:
                self._pass_on(flow, memoryview(data))
        if self._closing:
            return
        for flow in (self._up, self._down):
            flow.source.set_reading(True)
            if flow.source.eof:
                self._source_ended(flow)

    # --- LegOwner ---------------------------------------------------------------------------------------------------

    def readable(self, leg: Leg) -> None:
        """Move what one leg has to the other. Runs to completion; keeps nothing of the shared buffers."""
        flow = self._up if leg is self._up.source else self._down
        data = leg.receive(flow.held_back)
        if flow.state is not _State.DONE and data:
            self._pass_on(flow, data)
        # Who has more to say may hold it back until this is acknowledged. Who waits for an answer does not, and the
        # answer acknowledges at no cost.
        if not data or flow.held_back or flow.walk.awaits_more or self._asynchronous:
            leg.acknowledge()
        if leg.eof:
            self._source_ended(flow)

    def drained(self, leg: Leg) -> None:
        """The sink of a flow took all that waited: its source is read again."""
        source = self._down.source if leg is self._down.sink else self._up.source
        if source.blocked:
            source.set_blocked(False)
        self._answer(self._down if source is self._down.source else self._up)

    def broken(self, leg: Leg) -> None:
        """A leg broke while it was not read. What it sent is still in its socket, and is read when there is room."""

    def crashed(self, leg: Leg, error: Exception) -> None:
        """A bug in this association: it ends alone, by resets, as its state cannot be trusted."""
        self._set_outcome(Ended.ABORTED_BY_GATEWAY, Reason.INTERNAL, f"{type(error).__name__}: {error}")
        self.drop()
        self._loop.call_exception_handler(
            {"message": "an association failed on a bug of the gateway", "exception": error}
        )

    def drop(self) -> None:
        """Close both legs now, by resets, and report if that was not done before."""
        self._closing = True
        self._up.source.close(reset=True)
        self._down.source.close(reset=True)
        if self._open_legs:
            self._open_legs = 0
            self._report()

    # --- the flows --------------------------------------------------------------------------------------------------

    def _pass_on(self, flow: _Flow, data: memoryview) -> None:
        walk = flow.walk
        if flow.state is _State.ENDING:
            data = data[: walk.pdu_left]
        while True:
            output, settled, violation = walk.feed(data)
            if output and not flow.sink.send(output):
                flow.source.set_blocked(True)
                self._owner.relay_paused("client" if flow is self._up else "upstream")
            data = data[settled:]
            if not flow.answers:
                break
            self._answer(flow)
            if flow.answers or not data or violation is not None:
                break
        flow.held_back = bytes(data)
        if walk.refused:
            self._refuse(flow)
        if flow.sink.tls_failure is not None:
            self._source_ended(self._down if flow is self._up else self._up)
        elif walk.aborted:  # what stands behind it is nothing to anybody
            by = Ended.ABORTED_BY_REQUESTOR if flow is self._up else Ended.ABORTED_BY_UPSTREAM
            self._set_outcome(by, Reason.UPSTREAM_ABORTED if flow is self._down else None, "")
            self._finish(self._up)
            self._finish(self._down)
        else:
            if walk.release_answered:
                self._set_outcome(Ended.RELEASED, None, "")
                self._arm()
            if violation is not None:
                self._violated(flow, violation)
            elif flow.state is _State.ENDING and walk.boundary:
                self._finish(flow, abort=True)

    def _refuse(self, flow: _Flow) -> None:
        """Tell the source of requests that were swallowed so, between two messages of what flows back to it."""
        back = self._down if flow is self._up else self._up
        several, flow.walk.refused = flow.walk.refused, ()
        for refused in several:
            self._owner.relay_refused(refused)
            response = refusing_response(refused.command, refused.status)
            if response is not None:
                back.answers += (encode_command_set(refused.context_id, response, back.longest_pdu),)
            # Each by itself: how many came in one chunk does not matter, only whether they can be taken.
            if not back.sink.waiting:  # who does not read must not make us hold ever more
                self._answer(back)
            if len(back.answers) > _MOST_ANSWERS:
                self.abort(
                    Ended.ABORTED_BY_GATEWAY,
                    Reason.OPERATION_NOT_ALLOWED,
                    f"more than {_MOST_ANSWERS} refused requests wait for their responses to be taken",
                )
                break

    def _answer(self, flow: _Flow) -> None:
        """Send the responses of ours that wait, if they can stand here; have the walk stop where they can if not."""
        walk = flow.walk
        if flow.state is not _State.RUNNING or walk.release_requested or walk.release_answered:
            flow.answers = ()  # no data may follow a release (PS3.8 section 9.2), nor is any awaited
        elif flow.answers and walk.between:
            flow.sink.send(b"".join(flow.answers))
            flow.answers = ()
        walk.stop_between = bool(flow.answers)

    def _violated(self, flow: _Flow, violation: PduError) -> None:
        """The source broke the protocol: the valid part is forwarded, both legs get an A-ABORT (PS3.8 9.2, AA-8)."""
        if isinstance(violation, RefusedTooLate):
            move = violation.refused.status == MOVE_DESTINATION_UNKNOWN
            reason = Reason.MOVE_DESTINATION_NOT_ALLOWED if move else Reason.OPERATION_NOT_ALLOWED
        else:
            reason = Reason.PDU_UNEXPECTED if int(violation.abort_reason) in (1, 2) else Reason.PDU_INVALID
        who = "requestor" if flow is self._up else "upstream"
        self._abort_reason = int(violation.abort_reason)
        self._set_outcome(Ended.ABORTED_BY_GATEWAY, reason, f"{who}: {violation}")
        self._end_at_boundary(self._down if flow is self._up else self._up)
        self._finish_abruptly(flow)

    def _source_ended(self, flow: _Flow) -> None:
        """EOF, RST or a TLS failure of a source."""
        if flow.state is _State.DONE:
            self._close_legs_when_done()
            return
        leg = flow.source
        walk = flow.walk
        opposite = self._down if flow is self._up else self._up
        said_goodbye = walk.release_requested or walk.release_answered or opposite.walk.aborted
        if said_goodbye and walk.boundary and leg.tls_failure is None:
            # Devices that close right behind their A-RELEASE-RQ are common; the answer still has the way back.
            if walk.release_answered or opposite.walk.release_answered:
                self._set_outcome(Ended.RELEASED, None, "")
            self._finish(flow)
            self._arm()
            return
        if opposite.walk.release_requested and opposite.state is _State.DONE and walk.boundary and leg.lost is None:
            # Both sides have closed behind the A-RELEASE-RQ: an answer would have had no reader.
            self._set_outcome(Ended.RELEASED, None, "")
            self._finish(flow)
            return
        side = "requestor" if flow is self._up else "upstream"
        ended = Ended.REQUESTOR_LOST if flow is self._up else Ended.UPSTREAM_LOST
        reason = None
        if leg.tls_failure is not None:
            ended = Ended.ABORTED_BY_GATEWAY
            reason = Reason.TLS_FAILED if flow is self._up else Reason.UPSTREAM_TLS_FAILED
            detail = f"{side}: {tls_failure_in_words(leg.tls_failure)}"
        elif leg.lost is not None:
            detail = f"{side}: {leg.lost}"
        elif leg.truncated:
            reason, detail = Reason.TLS_TRUNCATED, f"{side}: TCP closed without close_notify or A-RELEASE"
        else:
            detail = f"{side}: closed without A-RELEASE"
        self._set_outcome(ended, reason, detail)
        self._finish_abruptly(flow)
        self._finish_abruptly(opposite)

    # --- ending -----------------------------------------------------------------------------------------------------

    def abort(self, ended: Ended, reason: Reason | None, detail: str) -> None:
        """End it from our side: A-ABORT on each leg at its next PDU boundary, a reset where that does not come."""
        self._set_outcome(ended, reason, detail)
        self._end_at_boundary(self._up)
        self._end_at_boundary(self._down)

    def abort_now(self, ended: Ended, reason: Reason | None, detail: str) -> None:
        """End it without waiting for anything."""
        self._set_outcome(ended, reason, detail)
        self._finish_abruptly(self._up)
        self._finish_abruptly(self._down)

    def _end_at_boundary(self, flow: _Flow) -> None:
        if flow.state is not _State.RUNNING:
            return
        flow.state = _State.ENDING
        if flow.walk.boundary:
            self._finish(flow, abort=True)
        else:
            self._arm()

    def _finish_abruptly(self, flow: _Flow) -> None:
        if flow.state is _State.DONE:
            return
        if flow.walk.boundary:
            self._finish(flow, abort=not flow.walk.aborted)
        else:
            flow.reset_sink = True
            self._finish(flow)

    def _finish(self, flow: _Flow, *, abort: bool = False) -> None:
        """Nothing more goes to this flow's sink, but for an A-ABORT and the FIN."""
        if flow.state is _State.DONE:
            return
        flow.state = _State.DONE
        flow.held_back = b""
        if abort:
            flow.sink.send(encode_abort(_BY_SERVICE_PROVIDER, self._abort_reason))
        if not flow.reset_sink:
            flow.sink.finish()
        flow.source.set_blocked(False)
        self._close_legs_when_done()

    def _close_legs_when_done(self) -> None:
        if self._closing or self._up.state is not _State.DONE or self._down.state is not _State.DONE:
            return
        self._closing = True
        self._disarm()
        for flow in (self._up, self._down):
            if flow.reset_sink:
                reset_when_delivered(flow.sink, self._loop, self._unacknowledged, self._leg_closed)
            else:
                # Who broke TLS cannot keep the connection by reading nothing of what TLS answered.
                patience = 0 if flow.sink.tls_failure is not None else self._unacknowledged
                linger(flow.sink, self._loop, self._close_timeout, patience, self._leg_closed)

    def _leg_closed(self) -> None:
        if self._open_legs:
            self._open_legs -= 1
            if not self._open_legs:
                self._report()

    def _report(self) -> None:
        self._disarm()
        ended, reason, detail = self._outcome or (Ended.ABORTED_BY_GATEWAY, Reason.INTERNAL, "no outcome")
        self._up.walk.opposite = self._down.walk.opposite = None
        self._owner.relay_ended(ended, reason, detail)

    def _set_outcome(self, ended: Ended, reason: Reason | None, detail: str) -> None:
        """The first cause stands; what follows from it does not change it."""
        if self._outcome is None:
            self._outcome = (ended, reason, detail)

    def _arm(self) -> None:
        if self._deadline is None:
            self._deadline = self._loop.call_later(self._close_timeout, self._expired)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expired(self) -> None:
        """`timeouts.close` is over: a boundary, an answer to a release or an EOF did not come."""
        self._deadline = None
        try:
            self._give_up_waiting()
        # A timer has nobody above it: what escapes would leave the association open for ever.
        except Exception as error:  # noqa: BLE001
            self.crashed(self._up.source, error)

    def _give_up_waiting(self) -> None:
        self._set_outcome(Ended.TIMEOUT, None, "the A-RELEASE-RQ was not answered")
        released = self._outcome is not None and self._outcome[0] is Ended.RELEASED
        for flow in (self._up, self._down):
            if released and flow.walk.boundary:
                self._finish(flow)
            else:
                self._finish_abruptly(flow)
