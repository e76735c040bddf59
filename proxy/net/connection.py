"""The two connections of one association until the relay takes them over: wake-ups, refusals and closing."""

import abc
import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from proxy.config.values import Listener
from proxy.net.accounting import Account
from proxy.net.association_end import AssociationEnd
from proxy.net.early import EarlyWatch
from proxy.net.established import Established
from proxy.net.leg import Leg
from proxy.net.linger import linger
from proxy.net.refused import Refused, UpstreamRefused, send_answer
from proxy.net.stage_runner import StageRunner
from proxy.net.station import Station
from proxy.pdu import AbortReason, AbortSource, encode_abort
from proxy.policy import Address, Reason
from proxy.shared.counts import Claim

_BUG = "an association failed on a bug of the gateway"
# Reasons that close a connection without waiting for the peer. An address that may not connect could otherwise hold the
# connection by not closing its own end.
_AT_ONCE = frozenset({Reason.ADDRESS_DENIED, Reason.ADDRESS_LIMIT, Reason.CONNECTION_LIMIT})


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection that was accepted and counted, and is not read yet. `address` and `port` are the peer's."""

    listener: Listener
    socket: socket.socket
    address: Address
    port: int
    claim: Claim


class AssociationOwner(Protocol):
    """The part of the worker that its associations use."""

    draining: bool

    async def exclusive_turn(self) -> None:
        """Wait for a turn of the event loop in which no other association parses a large request."""

    def established(self, established: Established) -> None:
        """Add an association that the upstream has accepted."""

    def relayed(self, established: Established) -> None:
        """Take note that the relay has started."""

    def forget(self, connection: "Connection") -> None:
        """Remove a connection whose sockets are all closed."""


class Connection(StageRunner, abc.ABC):
    """The connection of a requestor and, once it is dialled, the connection to its upstream.

    A subclass has the stages. They end by `Refused`, by an interruption, or by handing both legs to the relay.
    """

    __slots__ = (
        "_early",
        "_owner",
        "_requestor",
        "_station",
        "_upstream",
        "account",
        "claim",
        "established",
        "forwarded",
        "listener",
    )

    def __init__(self, owner: AssociationOwner, station: Station, arrival: Arrival) -> None:
        super().__init__(station.loop)
        self._owner = owner
        self._station = station
        self.listener = arrival.listener
        self.claim = arrival.claim
        self.account = Account(station, arrival.listener, arrival.address, arrival.port)
        self.forwarded = False  # the request was sent to the upstream
        self.established: Established | None = None
        self._early: EarlyWatch | None = None  # from the dial until the relay has the requestor
        self._upstream: Leg | None = None
        self._requestor = Leg(arrival.socket, station.poller, self)

    @abc.abstractmethod
    async def _walk(self) -> None:
        """Walk through the stages, in their order. Raises `Refused`."""

    async def _run(self) -> None:
        try:
            self._set_out()
            await self._walk()
            return
        except Refused as refused:
            refusal = refused.with_traceback(None)  # the frames of a traceback would keep this association alive
        except asyncio.CancelledError:
            if self._interruption is None:  # cancelled by the event loop, which is closing: no answer can be sent
                self.drop()
                raise
            refusal = self._interruption
        # A bug ends this association and no other. It is logged, counted as `internal` and answered.
        except Exception as error:  # noqa: BLE001
            # The relay owns the legs by now: it resets both, and reports the end.
            if self.established is not None:
                self.established.crashed(error)
                return
            self._station.records.bug(_BUG, error)
            refusal = Refused(Reason.INTERNAL, type(error).__name__)
        finally:
            self._task = None  # no stage is left to interrupt: `crashed` drops the connection from now on
        with self.guarded():
            self._refuse(refusal)

    # --- LegOwner, until the relay takes the legs -------------------------------------------------------------------

    def readable(self, leg: Leg) -> None:
        """Wake the stage that waits for this leg; from the dial on, watch the requestor."""
        if leg is self._requestor and self._early is not None:
            refused = self._early.listen(leg)
            if refused is not None:
                leg.set_reading(False)  # the watch is over, and the leg would be reported again before it lingers
                self._interrupt(refused)
        else:
            self._wake(leg)

    def drained(self, leg: Leg) -> None:
        """Wake the stage: a connect has succeeded or failed."""
        self._wake(leg)

    def broken(self, leg: Leg) -> None:
        """Wake the stage: a leg broke while it was not read."""
        self._wake(leg)

    def crashed(self, leg: Leg, error: Exception) -> None:
        """End this association alone after a bug in a callback."""
        if self.established is not None:
            self.established.crashed(error)
            return
        # Free first, report afterwards: the bug may be a MemoryError, and a report takes memory.
        if self._task is not None:
            self._interrupt(Refused(Reason.INTERNAL, type(error).__name__))
        else:
            self.drop()
        self._station.records.bug(_BUG, error)

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Make an exception end this association alone, while the caller acts on many."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self.crashed(self._requestor, error)

    # --- refusing and ending ----------------------------------------------------------------------------------------

    def _refuse(self, refused: Refused) -> None:
        """Answer, then record, then close in such a way that no RST destroys the answer."""
        self._within(None)
        self._early = None
        leg = self._requestor
        refused.limit_to(
            requested=self.account.asked, secured=leg.tls is not None, encrypted=self.listener.tls is not None
        )
        at_once = refused.reason in _AT_ONCE
        try:
            # On the wire first: the sender waits for its answer, and the bookkeeping costs more than sending it.
            if at_once:
                leg.close()
            else:
                send_answer(leg, refused)
            if self._upstream is not None:
                self._leave_upstream(self._upstream, abort=not isinstance(refused, UpstreamRefused))
        finally:
            self._account_for(refused)
        if at_once:
            self._closed()
        else:
            self._linger(leg)

    def _account_for(self, refused: Refused) -> None:
        """Record a refusal. If that fails, the connection is closed as after any other: the sender has its answer."""
        try:
            self.account.phase("closing")
            self.account.refused(refused)
            self._station.counts.release(self.claim)
        except Exception as error:  # noqa: BLE001 - for example no memory: what is counted is given back at the close
            self._station.records.bug(_BUG, error)

    def _leave_upstream(self, leg: Leg, *, abort: bool) -> None:
        # The upstream may have accepted by now. Without an A-ABORT it would keep one of its few associations open for a
        # requestor that has left.
        if abort and self.forwarded and not leg.eof:
            leg.send(encode_abort(AbortSource.SERVICE_PROVIDER, AbortReason.NOT_SPECIFIED))
        self._linger(leg)

    def _linger(self, leg: Leg) -> None:
        # 0: do not wait for ACKs. A refused peer could hold the connection by withholding them.
        linger(leg, self._station.loop, self._station.config.timeouts.close, 0, self._leg_closed)

    def _leg_closed(self) -> None:
        """Report the end once both connections are closed: until then one of them still takes a descriptor."""
        if self._requestor.closed and (self._upstream is None or self._upstream.closed):
            self._closed()

    def end(self, end: AssociationEnd, *, at_once: bool = False) -> None:
        """End the association from outside: a limit, a drain, an operator.

        `at_once`: wait for no PDU boundary. Before the relay there is none to wait for, and the requestor gets the
        answer of `end.reason`; without a reason that of a drain.
        """
        if self.established is not None:
            self.established.end(end, at_once=at_once)
        else:
            self._interrupt(Refused(end.reason or Reason.DRAINING, end.detail))

    def drop(self) -> None:
        """Reset all connections now: the worker ends, or the answer itself failed."""
        self._within(None)
        if self.established is not None:
            self.established.drop()
            return
        self._requestor.close(reset=True)
        if self._upstream is not None:
            self._upstream.close(reset=True)
        self._closed()

    def _closed(self) -> None:
        """Give back what the association holds: all its connections are closed. May be called again."""
        self.account.phase(None)
        self._owner.forget(self)
        self.established = self._upstream = None  # both refer back to this association
