"""An association that the upstream has accepted: its relay, its idle limit, and the decision on it after a reload."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from proxy.config.values import Listener
from proxy.dimse.inspection import RefusedCommand
from proxy.net.accounting import Account
from proxy.net.association_end import AssociationEnd, Side
from proxy.net.leg import Leg
from proxy.net.operations import inspection_of, is_asynchronous, narrow, stored
from proxy.net.recheck import Remembered, decide_again
from proxy.net.relay import Relay
from proxy.net.stages import Accepted, Asked
from proxy.net.station import Station
from proxy.net.traffic import Traffic
from proxy.policy import Accept, Ended
from proxy.tls.contexts import ListenerTls


@dataclass(frozen=True, slots=True)
class AssociationStatus:
    """One established association, for `status` and `top`. Sizes in bytes, `age` in seconds."""

    id: str
    age: float
    bytes_in: int
    bytes_out: int
    stored: int  # C-STORE requests


@dataclass(frozen=True, slots=True)
class Agreed:
    """The request, the decision and the answer. `contexts`: ids of the contexts that the requestor may use.

    Only the constructor of `Established` reads it: kept for hours, it would hold every context as parsed.
    """

    asked: Asked
    accept: Accept
    answer: Accepted
    contexts: frozenset[int]


class Established:
    """The relay of one association and its owner. `closed` is called once both legs are closed."""

    __slots__ = (
        "_active_at",
        "_answered",
        "_closed",
        "_idle_limit",
        "_relay",
        "_remembered",
        "_requestor",
        "_traffic",
        "_upstream",
        "account",
        "listener",
    )

    def __init__(
        self,
        station: Station,
        listener: Listener,
        account: Account,
        requestor: Leg,
        upstream: Leg,
        agreed: Agreed,
        closed: Callable[[], None],
    ) -> None:
        self.listener = listener
        self.account = account
        self._requestor = requestor
        self._upstream = upstream
        self._closed = closed
        asked, accept = agreed.asked, agreed.accept
        request, answer = asked.facts.request, agreed.answer.parsed
        self._remembered = Remembered(asked.facts.source, asked.pdu, asked.facts.sni)
        self._answered = answer.presentation_contexts
        self._active_at = time.monotonic()
        timeouts = station.config.timeouts
        # A tenant whose viewers keep associations open for hours may have a limit of its own.
        self._idle_limit = timeouts.idle if accept.tenant.idle is None else accept.tenant.idle
        self._traffic = Traffic(station.metrics, account.tenant, account.record)
        self._relay = Relay(
            self,
            requestor,
            upstream,
            agreed.contexts,
            inspection_of(accept, request, answer, agreed.contexts, account.operation_observed),
            longest_to_requestor=request.user_information.maximum_length or 0,
            longest_to_upstream=answer.user_information.maximum_length or 0,
            asynchronous=is_asynchronous(answer.user_information.asynchronous_operations_window),
            loop=station.loop,
            close_timeout=timeouts.close,
            unacknowledged=timeouts.unacknowledged,
        )

    def start(self, from_requestor: bytes, from_upstream: bytes) -> None:
        """Start the relay with bytes that the stages have read: see `Relay.start`."""
        self._relay.start(from_requestor, from_upstream)

    def tick(self, now: float) -> None:
        """Add new traffic to the metrics, or end an association that is silent for too long. Called once a second."""
        if self._traffic.flush(self._requestor, self._upstream, self._relay):
            self._active_at = now
        elif now - self._active_at >= self._idle_limit:
            self.end(AssociationEnd(Ended.TIMEOUT, None, f"no byte for {self._idle_limit:g} s"))

    def decide_again(self, listener: Listener | None, tls: ListenerTls | None) -> str | None:
        """Return why this association would be refused under a new configuration, None if it would be accepted.

        If it would be accepted, its next DIMSE requests must satisfy the new configuration too.
        """
        endpoint = self._requestor.tls
        decision = decide_again(self._remembered, None if endpoint is None else endpoint.object, listener, tls)
        if isinstance(decision, str):
            return decision
        # The relay goes on under both policies: contexts and roles were negotiated under the old one, and a new one
        # that allows more cannot add to them.
        if isinstance(decision, Accept):
            narrow(self._relay.inspection, decision, self._answered, self.account.record.calling_aet or "")
        return None

    @property
    def ending(self) -> bool:
        """True once the cause of the end is known; the connections may still be open."""
        return self._relay.ending.decided

    def status(self) -> AssociationStatus:
        """Return the figures for `status` and `top`."""
        record = self.account.record
        age = time.monotonic() - self.account.started
        return AssociationStatus(record.id, age, self._requestor.received, self._requestor.sent, stored(record))

    def end(self, end: AssociationEnd, *, at_once: bool = False) -> None:
        """End the association from outside: a limit, a drain, a new policy, an operator.

        `at_once`: wait for no PDU boundary.
        """
        (self._relay.ending.abort_now if at_once else self._relay.ending.abort)(end)

    def drop(self) -> None:
        """Reset both connections now."""
        self._relay.ending.drop()

    def crashed(self, error: Exception) -> None:
        """End this association alone after a bug."""
        self._relay.ending.crashed(error)

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Make an exception end this association alone, while the caller acts on many."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self.crashed(error)

    # --- RelayOwner -------------------------------------------------------------------------------------------------

    def relay_paused(self, side: Side) -> None:
        """Count back-pressure."""
        self.account.paused(side)

    def relay_refused(self, refused: RefusedCommand) -> None:
        """Record a refused DIMSE request, and log the first of its kind."""
        self.account.operation_refused(refused)

    def relay_ended(self, end: AssociationEnd) -> None:
        """Write the access record: both legs are closed."""
        # The traffic since the last tick, before the record is written.
        self._traffic.flush(self._requestor, self._upstream, self._relay)
        self.account.ended(end)
        self._closed()
