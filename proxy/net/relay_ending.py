"""The end of a relay: A-ABORT, FIN or RST for each leg, and the time that this may take (invariant 4).

The picture of the states is in proxy/net/relay.py, the rule in docs/architecture.md.
"""

import asyncio
from typing import Protocol

from proxy.dimse.inspection import RefusedCommand
from proxy.net.association_end import AssociationEnd, Side
from proxy.net.flow import Flow, FlowState
from proxy.net.linger import linger, reset_when_delivered
from proxy.pdu import AbortReason, AbortSource, encode_abort
from proxy.policy import Ended, Reason


class RelayOwner(Protocol):
    """The association that a relay works for."""

    def relay_paused(self, side: Side) -> None:
        """Take note that `side` is not read for a while, because the other side cannot take more."""

    def relay_refused(self, refused: RefusedCommand) -> None:
        """Take note of a DIMSE request that was not forwarded; the association goes on."""

    def relay_ended(self, end: AssociationEnd) -> None:
        """Complete the association: both legs are closed."""


class _NoOwner:
    """The owner of a relay that has reported its end: ignores every event."""

    @staticmethod
    def relay_paused(side: Side) -> None:
        """Ignore."""

    @staticmethod
    def relay_refused(refused: RefusedCommand) -> None:
        """Ignore."""

    @staticmethod
    def relay_ended(end: AssociationEnd) -> None:
        """Ignore."""


class RelayEnding:
    """Ends the two flows of one relay, closes their legs and reports the first cause. Holds no byte of a peer."""

    __slots__ = (
        "_close_timeout",
        "_closing",
        "_deadline",
        "_end",
        "_flows",
        "_loop",
        "_open_legs",
        "_unacknowledged",
        "abort_reason",
        "owner",
    )

    def __init__(
        self,
        flows: tuple[Flow, Flow],
        owner: RelayOwner,
        *,
        loop: asyncio.AbstractEventLoop,
        close_timeout: float,
        unacknowledged: float,
    ) -> None:
        self._flows = flows
        self.owner = owner
        self._loop = loop
        self._close_timeout = close_timeout
        self._unacknowledged = unacknowledged
        self._end: AssociationEnd | None = None
        self.abort_reason = AbortReason.NOT_SPECIFIED  # of the A-ABORTs to come (PS3.8 Table 9-26)
        self._deadline: asyncio.TimerHandle | None = None
        self._closing = False
        self._open_legs = len(flows)

    @property
    def decided(self) -> bool:
        """True once the cause of the end is known, even if bytes still flow."""
        return self._end is not None

    @property
    def closing(self) -> bool:
        """True once both flows are done."""
        return self._closing

    # --- ends caused by the gateway ---------------------------------------------------------------------------------

    def abort(self, end: AssociationEnd) -> None:
        """Send each leg an A-ABORT at its next PDU boundary, or reset it if no boundary comes in time."""
        self.decide(end)
        for flow in self._flows:
            self.end_at_boundary(flow)

    def abort_now(self, end: AssociationEnd) -> None:
        """End both flows without waiting for a boundary: A-ABORT where a sink is at one, RST where it is not."""
        self.decide(end)
        for flow in self._flows:
            self.cut(flow)

    def crashed(self, error: Exception) -> None:
        """End by resets after a bug: the state of this association cannot be trusted."""
        # Drop first, report afterwards: the bug may be a MemoryError, and a report takes memory.
        self.decide(AssociationEnd(Ended.ABORTED_BY_GATEWAY, Reason.INTERNAL, f"{type(error).__name__}: {error}"))
        self.drop()
        self._loop.call_exception_handler(
            {"message": "an association failed on a bug of the gateway", "exception": error}
        )

    def drop(self) -> None:
        """Reset both legs now, and report the end unless it was reported before."""
        self._closing = True
        for flow in self._flows:
            flow.source.close(reset=True)
        if self._open_legs:
            self._open_legs = 0
            self._report_end()

    # --- the steps of an end ----------------------------------------------------------------------------------------

    def decide(self, end: AssociationEnd) -> None:
        """Record the cause of the end. The first cause stands: what follows from it does not replace it."""
        if self._end is None:
            self._end = end

    def end_at_boundary(self, flow: Flow) -> None:
        """Send the sink an A-ABORT once the PDU that it is receiving is complete. Nothing more is forwarded then."""
        if flow.state is not FlowState.RUNNING:
            return
        flow.state = FlowState.ENDING
        if flow.walk.boundary:
            self.finish(flow, abort=True)
        else:  # the relay forwards the rest of the PDU, and calls `finish` at its end
            self.await_close()

    def cut(self, flow: Flow) -> None:
        """End a flow whose source sends nothing more that could be forwarded.

        Inside a PDU the sink is reset: it would take an A-ABORT for data of that PDU, and might store the object.
        """
        if flow.state is FlowState.DONE:
            return
        if flow.walk.boundary:
            # The source's own A-ABORT has gone to the sink: a second one would only meet a closed socket.
            self.finish(flow, abort=not flow.walk.aborted)
        else:
            flow.reset_sink = True
            self.finish(flow)

    def finish(self, flow: Flow, *, abort: bool = False) -> None:
        """Send the sink nothing more, except an A-ABORT if `abort`, and FIN."""
        if flow.state is FlowState.DONE:
            return
        flow.state = FlowState.DONE
        flow.held_back = b""
        if abort:
            flow.sink.send(encode_abort(AbortSource.SERVICE_PROVIDER, self.abort_reason))
        # A leg that will be reset gets no close_notify and no FIN: both would say that the data is complete.
        if not flow.reset_sink:
            flow.sink.finish()
        flow.source.set_blocked(False)  # its further bytes are read and dropped: unread input would turn FIN into RST
        self.close_when_done()

    def close_when_done(self) -> None:
        """Close the legs if both flows are done. One leg is the sink of one flow and the source of the other."""
        if self._closing or any(flow.state is not FlowState.DONE for flow in self._flows):
            return
        self._closing = True
        self._disarm()
        for flow in self._flows:
            sink = flow.sink
            # A RST makes the peer's kernel drop what is still on the way, so it waits until everything is acknowledged.
            if flow.reset_sink:
                reset_when_delivered(sink, self._loop, self._unacknowledged, self._leg_closed)
            else:
                # After a failure of TLS do not wait for ACKs: the peer could hold the connection open by not reading.
                patience = 0 if sink.tls_failure is not None else self._unacknowledged
                linger(sink, self._loop, self._close_timeout, patience, self._leg_closed)

    def await_close(self) -> None:
        """Start `timeouts.close`, within which a boundary, an A-RELEASE-RP or an EOF must come.

        A second call does not extend it (invariant 6, docs/architecture.md).
        """
        if self._deadline is None and not self._closing:
            self._deadline = self._loop.call_later(self._close_timeout, self._expired)

    # --- time and report --------------------------------------------------------------------------------------------

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expired(self) -> None:
        self._deadline = None
        try:
            self._give_up_waiting()
        # Nothing above a timer catches: an exception that escaped would leave the association open for ever.
        except Exception as error:  # noqa: BLE001
            self.crashed(error)

    def _give_up_waiting(self) -> None:
        # An end that was decided before stands; if there is none, the wait was for an A-RELEASE-RP.
        self.decide(AssociationEnd(Ended.TIMEOUT, None, "the A-RELEASE-RQ was not answered"))
        released = self._end is not None and self._end.ended is Ended.RELEASED
        for flow in self._flows:
            if released and flow.walk.boundary:
                self.finish(flow)
            else:
                self.cut(flow)

    def _leg_closed(self) -> None:
        if self._open_legs:
            self._open_legs -= 1
            if not self._open_legs:
                self._report_end()

    def _report_end(self) -> None:
        self._disarm()
        for flow in self._flows:
            flow.walk.opposite = None  # the walks refer to each other: otherwise only the garbage collector frees them
        owner, self.owner = self.owner, _NoOwner  # the owner refers to the relay: nothing may refer back from here
        owner.relay_ended(
            self._end or AssociationEnd(Ended.ABORTED_BY_GATEWAY, Reason.INTERNAL, "no cause was recorded")
        )
