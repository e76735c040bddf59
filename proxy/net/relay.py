"""The relay of an accepted association: two flows of bytes, and how each ends (invariant 4, docs/architecture.md).

Each direction is a `Flow` with a state of its own. Once it is DONE, nothing of its source is forwarded any more.

    RUNNING   forwards
       |
       |  an end of ours is due, and the last byte given to the sink was inside a PDU
       +--------------------------------------------------------------------------------> ENDING
       |  an end of ours is due, at a PDU boundary: A-ABORT, FIN                              |  the PDU is complete:
       |  the source has ended: by the table                                                  |  A-ABORT, FIN (1)
       v                                                                                      |  the source has ended:
      DONE <----------------------------------------------------------------------------------+  by the table
       |                                                                                         wait (2) is over: cut
       |  both flows are DONE: each leg is read to its end (linger.py), or reset once its peer has everything
       v
    legs closed: `relay_ended`

    a source, and what happened on it           its own flow         the opposite flow      the association ends as
    ------------------------------------------  -------------------  ---------------------  -----------------------
    A-ABORT                                     forward; finish      finish                 aborted_by_<side>
    A-RELEASE-RP                                forward; wait (2)    goes on                released
    EOF or RST at a boundary, after an          finish; wait (2)     goes on: A-RELEASE-RP  released, once an
      A-RELEASE-RQ or -RP of its own                                   may still come         A-RELEASE-RP has passed
    EOF or failure of TLS at a boundary; the    finish               DONE before            released
      opposite side asked for release and closed
    EOF, RST or failure of TLS otherwise        cut                  cut                    <side>_lost, or
                                                                                              aborted_by_gateway (TLS)
    a PDU, PDV or response that is not allowed  cut                  ENDING                 aborted_by_gateway
      (3)
    none: a limit, a drain, a policy, an        ENDING               ENDING                 as the caller says
      operator
    none: the gateway stops (`abort_now`)       cut                  cut                    as the caller says
    none: a bug (`crashed`)                     RST                  RST                    aborted_by_gateway
    none: wait (2) is over                      finish if released   finish if released     timeout, if no cause yet
                                                  and at a boundary,   and at a boundary,
                                                  otherwise cut        otherwise cut

    finish: FIN. cut: A-ABORT and FIN if the last byte given to the sink ended a PDU; if not, RST and no byte of ours.
    The first cause stands: whatever follows from it does not change how the association ends.
    (1) If the rest of the PDU begins a command set that goes on in a later PDU, the walk holds it back: no boundary
        comes, and the sink is reset when the wait is over.
    (2) For `timeouts.close`.
    (3) Also a request that is refused after part of its PDU has gone on (`RefusedTooLate`). Any other refused request
        is answered, and both flows go on.

Why so:

- An association ends by PDUs, never by what an EOF looks like. When a source dies without them, what it sent before is
  delivered first, because the sink may hold a complete object that it has not acknowledged yet.
- A sink that waits inside a PDU takes any byte for part of that PDU. DCMTK's storescp took an A-ABORT appended inside a
  P-DATA-TF for pixel data, and stored the object with Success. So the relay resets the sink, which storescp takes for a
  lost peer.
- Many devices send A-RELEASE-RQ and close at once. Their EOF ends one direction only; the upstream's A-RELEASE-RP still
  decides whether the association counts as released.
- A leg whose flows are DONE is still read, and its bytes are dropped: closing a socket with unread input makes the
  kernel send RST, which can destroy the A-ABORT on its way to the peer.
- The walk (proxy/dimse/walk.py) knows PDU boundaries; the relay cuts only where the walk says.
"""

import asyncio

from proxy.dimse.command import MOVE_DESTINATION_UNKNOWN, refusing_response
from proxy.dimse.inspection import Inspection, RefusedTooLate
from proxy.dimse.walk import MessageWalk
from proxy.net.association_end import AssociationEnd, Side
from proxy.net.flow import Flow, FlowState
from proxy.net.leg import Leg
from proxy.net.relay_ending import RelayEnding, RelayOwner
from proxy.pdu import AbortReason
from proxy.pdu.encode import encode_command_set
from proxy.pdu.errors import PduError
from proxy.policy import Ended, Reason
from proxy.tls.failures import tls_failure_in_words

#: DIMSE responses of ours that may wait for the end of a message, or for a peer that does not read.
_MOST_ANSWERS = 16
_UNEXPECTED = (AbortReason.UNRECOGNIZED_PDU, AbortReason.UNEXPECTED_PDU)


class Relay:
    """Moves bytes between the two legs of one association until both are closed. Owns the legs from here on."""

    __slots__ = ("_asynchronous", "_down", "_up", "ending", "inspection")

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
        self.inspection = inspection
        self._asynchronous = asynchronous  # requests may follow each other without a response between them
        up = MessageWalk(accepted_contexts, inspection, from_requestor=True)
        down = MessageWalk(accepted_contexts, inspection, from_requestor=False)
        up.opposite, down.opposite = down, up
        self._up = Flow(Side.REQUESTOR, requestor, upstream, up, longest_to_upstream)
        self._down = Flow(Side.UPSTREAM, upstream, requestor, down, longest_to_requestor)
        self.ending = RelayEnding(
            (self._up, self._down),
            owner,
            loop=loop,
            close_timeout=close_timeout,
            unacknowledged=unacknowledged,
        )

    @property
    def to_upstream(self) -> MessageWalk:
        """The walk over what went from the requestor to the upstream."""
        return self._up.walk

    @property
    def to_requestor(self) -> MessageWalk:
        """The walk over what went from the upstream to the requestor."""
        return self._down.walk

    def start(self, from_requestor: bytes, from_upstream: bytes) -> None:
        """Begin with bytes that were read before: the start of an A-ABORT, and what followed the A-ASSOCIATE-AC."""
        for leg in (self._up.source, self._down.source):
            leg.owner = self
            leg.associated = True
            leg.acknowledges = False  # `readable` decides
        for flow, data in ((self._up, from_requestor), (self._down, from_upstream)):
            if data:
                self._pass_on(flow, memoryview(data))
        if self.ending.closing:
            return
        for flow in (self._up, self._down):
            flow.source.set_reading(True)
            if flow.source.eof:
                self._source_ended(flow)

    def _opposite(self, flow: Flow) -> Flow:
        return self._down if flow is self._up else self._up

    # --- LegOwner ---------------------------------------------------------------------------------------------------

    def readable(self, leg: Leg) -> None:
        """Move the bytes that one leg has to the other. Runs to completion and keeps nothing of the shared buffers."""
        flow = self._up if leg is self._up.source else self._down
        data = leg.receive(flow.held_back)
        if flow.state is not FlowState.DONE and data:
            self._pass_on(flow, data)
        # A peer with more to say may hold it back until its last segment is acknowledged (Nagle's algorithm), so it is
        # acknowledged now. A peer that waits for a response holds nothing back, and the response carries the ACK.
        if not data or flow.held_back or flow.walk.awaits_more or self._asynchronous:
            leg.acknowledge()
        if leg.eof:
            self._source_ended(flow)

    def drained(self, leg: Leg) -> None:
        """Read a source again: the sink of its flow has taken everything that waited."""
        flow = self._up if leg is self._up.sink else self._down
        if flow.source.blocked:
            flow.source.set_blocked(False)
        self._answer(flow)  # responses of ours may have waited for room too

    def broken(self, leg: Leg) -> None:
        """Do nothing: the last bytes of the broken leg are still in its socket, and are read when there is room."""

    def crashed(self, leg: Leg, error: Exception) -> None:
        """End this association alone after a bug."""
        self.ending.crashed(error)

    # --- the flows --------------------------------------------------------------------------------------------------

    def _pass_on(self, flow: Flow, data: memoryview) -> None:
        """Forward as much of `data` as the walk allows, then act on what the walk has seen in it."""
        walk = flow.walk
        if flow.state is FlowState.ENDING:  # only to the end of the PDU, where an A-ABORT of ours follows
            data = data[: walk.pdu_left]
        while True:
            # Sent before the violation is acted on: the valid part must arrive, wherever TCP has cut the stream.
            output, used, violation = walk.feed(data)
            if output and not flow.sink.send(output):
                # The rest waits in the sink. Until it is written the source is not read, so no more can pile up, and
                # the sender meets a full TCP window.
                flow.source.set_blocked(True)
                self.ending.owner.relay_paused(flow.side)
            data = data[used:]
            if not flow.answers:  # the usual case: one turn of this loop
                break
            # The walk has stopped where a message ended, because responses of ours wait for such a place.
            self._answer(flow)
            if flow.answers or not data or violation is not None:
                break
        flow.held_back = bytes(data)  # a copy: the shared buffer is the next leg's
        if walk.refused:
            self._refuse(flow)
        # A sink whose TLS failed while it was written to has ended as a source too, and no event would report that.
        if flow.sink.tls_failure is not None:
            self._source_ended(self._opposite(flow))
        elif walk.aborted:  # bytes after an A-ABORT are ignored
            # A requestor that aborts is no refusal, so there is no reason.
            reason = Reason.UPSTREAM_ABORTED if flow.side is Side.UPSTREAM else None
            self.ending.decide(AssociationEnd(flow.side.aborted, reason))
            self.ending.finish(self._up)
            self.ending.finish(self._down)
        else:
            if walk.release_answered:
                self.ending.decide(AssociationEnd(Ended.RELEASED))
                self.ending.await_close()
            if violation is not None:
                self._violated(flow, violation)
            elif flow.state is FlowState.ENDING and walk.boundary:
                self.ending.finish(flow, abort=True)

    def _refuse(self, flow: Flow) -> None:
        """Answer the requests that were refused, between two messages of what flows back to their source."""
        back = self._opposite(flow)
        several, flow.walk.refused = flow.walk.refused, ()
        for refused in several:
            self.ending.owner.relay_refused(refused)
            response = refusing_response(refused.command, refused.status)
            if response is not None:
                back.answers += (encode_command_set(refused.context_id, response, back.longest_pdu),)
            # After each request: the limit counts responses that cannot be sent, not requests that came in one chunk.
            if not back.sink.waiting:  # a peer that reads nothing must not make the leg hold more and more responses
                self._answer(back)
            if len(back.answers) > _MOST_ANSWERS:
                text = f"more than {_MOST_ANSWERS} refused requests wait for their responses to be taken"
                self.ending.abort(AssociationEnd(Ended.ABORTED_BY_GATEWAY, Reason.OPERATION_NOT_ALLOWED, text))
                break

    def _answer(self, flow: Flow) -> None:
        """Send the waiting responses of ours if a message has just ended; otherwise make the walk stop where one does.

        Inside another message a response of ours would be taken for a part of it (PS3.8 annex E). No data may follow a
        release (PS3.8 section 9.2), and no peer waits for a response then: they are dropped.
        """
        walk = flow.walk
        if flow.state is not FlowState.RUNNING or walk.release_requested or walk.release_answered:
            flow.answers = ()
        elif flow.answers and walk.between:
            flow.sink.send(b"".join(flow.answers))
            flow.answers = ()
        walk.stop_between = bool(flow.answers)

    def _violated(self, flow: Flow, violation: PduError) -> None:
        """End both flows: the source broke the protocol (PS3.8 section 9.2, AA-8). Its valid part was forwarded."""
        if isinstance(violation, RefusedTooLate):
            move = violation.refused.status == MOVE_DESTINATION_UNKNOWN
            reason = Reason.MOVE_DESTINATION_NOT_ALLOWED if move else Reason.OPERATION_NOT_ALLOWED
        else:
            reason = Reason.PDU_UNEXPECTED if violation.abort_reason in _UNEXPECTED else Reason.PDU_INVALID
        self.ending.abort_reason = violation.abort_reason
        self.ending.decide(AssociationEnd(Ended.ABORTED_BY_GATEWAY, reason, str(violation), flow.side))
        # The opposite source has done nothing wrong and may finish its PDU. What this source sends next cannot be
        # judged any more: the walk has lost its place.
        self.ending.end_at_boundary(self._opposite(flow))
        self.ending.cut(flow)

    def _source_ended(self, flow: Flow) -> None:
        """Act on EOF, RST or a TLS failure of a source, by the table at the top of this file."""
        if flow.state is FlowState.DONE:
            self.ending.close_when_done()
            return
        leg, walk, opposite = flow.source, flow.walk, self._opposite(flow)
        # A regular end: the PDUs have said that this direction is over, and the EOF comes where a PDU ends. Only this
        # direction is finished, for the A-RELEASE-RP of the opposite side may still pass. `await_close` ends the
        # association if none comes.
        may_close = walk.release_requested or walk.release_answered
        if may_close and walk.boundary and leg.tls_failure is None:
            if walk.release_answered or opposite.walk.release_answered:
                self.ending.decide(AssociationEnd(Ended.RELEASED))
            self.ending.finish(flow)
            self.ending.await_close()
            return
        if opposite.walk.release_requested and opposite.state is FlowState.DONE and walk.boundary and leg.lost is None:
            # The opposite side has asked for release and closed, and this side has closed as well: no peer is left to
            # read an A-RELEASE-RP, so its absence is no fault.
            self.ending.decide(AssociationEnd(Ended.RELEASED))
            self.ending.finish(flow)
            return
        # Lost. The sink has been given everything that the source sent, since an EOF is read after the last byte. Both
        # flows end, because neither side can finish the association alone.
        self.ending.decide(_end_of(flow))
        self.ending.cut(flow)
        self.ending.cut(opposite)


def _end_of(flow: Flow) -> AssociationEnd:
    """Return the end of an association whose source ended without A-RELEASE and A-ABORT."""
    side, leg = flow.side, flow.source
    if leg.tls_failure is not None:
        return AssociationEnd(Ended.ABORTED_BY_GATEWAY, side.tls_failed, tls_failure_in_words(leg.tls_failure), side)
    if leg.lost is not None:
        return AssociationEnd(side.lost, None, leg.lost, side)
    if leg.truncated:
        text = "TCP closed without close_notify or A-RELEASE"
        return AssociationEnd(side.lost, Reason.TLS_TRUNCATED, text, side)
    return AssociationEnd(side.lost, None, "closed without A-RELEASE", side)
