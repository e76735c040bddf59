"""A worker: serves the listening sockets that it is given, under one generation of the configuration."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from proxy.config.values import Config, Listener
from proxy.net.accounting import new_id
from proxy.net.association import Association
from proxy.net.association_end import AssociationEnd
from proxy.net.connection import Arrival, Connection
from proxy.net.established import AssociationStatus, Established
from proxy.net.gate import Gate
from proxy.net.loops import LoopGuard
from proxy.net.poller import LONGEST_TURN, Poller
from proxy.net.proxied import ADDRESS_DENIED
from proxy.net.records import Journal, Records
from proxy.net.servers import Servers
from proxy.net.station import Station
from proxy.net.tcp import tune
from proxy.observe.access import AccessRecord
from proxy.observe.metrics import Metrics
from proxy.policy import Address, Ended, Reason
from proxy.policy.addresses import contains, normalize
from proxy.shared.counts import Claim, Counts
from proxy.shared.probes import Probes
from proxy.shared.server_states import ServerStates
from proxy.tls.contexts import ListenerTls
from proxy.tls.upstreams import UpstreamContext
from proxy.upstream.dialling import Resolver

_TICK = 1.0  # seconds between two looks at silence, metrics and suppressed refusals


class Worker:
    """Serves the associations of all listeners of one configuration on one event loop."""

    def __init__(
        self,
        config: Config,
        tls: Mapping[str, ListenerTls],
        upstream_tls: Mapping[str, UpstreamContext],
        sockets: Mapping[str, Sequence[socket.socket]],
        journal: Journal,
        counts: Counts,
        states: ServerStates,
        probes: Probes,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.station = Station(
            loop=loop,
            poller=Poller(loop),
            config=config,
            tls=tls,
            upstream_tls=upstream_tls,
            metrics=Metrics(config),
            counts=counts,
            servers=Servers(states, counts, journal, config.timeouts.upstream_connect),
            resolver=Resolver(),
            journal=journal,
            records=Records(journal),
        )
        self.draining = False
        self._guard = LoopGuard(config, probes, journal)
        # Two sets: every connection until its sockets are closed, and those of them that the upstream has accepted.
        self._connections: set[Connection] = set()
        self._established: set[Established] = set()
        self._refusal: Callable[[Established], str | None] | None = None  # by the newest configuration
        self._turns = asyncio.Lock()  # of the associations that parse a large request
        self._idle = asyncio.Event()  # no association is left, while draining
        self._empty = asyncio.Event()  # no connection is left
        self._empty.set()
        listeners = {listener.name: listener for listener in config.listeners}
        self._gates = [
            Gate(self, self.station, listeners[name], sock) for name, several in sockets.items() for sock in several
        ]
        self._tick_due = loop.time() + _TICK
        self._ticker = loop.call_at(self._tick_due, self._tick)

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to accept."""
        for gate in self._gates:
            gate.open()

    async def drain(self) -> None:
        """Refuse new associations as `draining` until the last association has ended."""
        self.draining = True
        self.station.metrics.set("draining", (), 1)
        self._look_idle()
        await self._idle.wait()
        await _within(self.station.config.timeouts.close, self._empty)  # the last answers may still be on their way

    def leave(self) -> None:
        """Stop accepting. Accepted connections are served to their end."""
        for gate in self._gates:
            gate.close()

    async def empty(self) -> None:
        """Wait until the last connection is closed."""
        await self._empty.wait()

    def abort_all(self) -> None:
        """Send every association its A-ABORT at the next PDU boundary: `timeouts.drain` is over."""
        self._end_all(AssociationEnd(Ended.DRAINED, Reason.DRAINING, "timeouts.drain is over"), at_once=False)

    async def stop(self) -> None:
        """End everything now."""
        self.draining = True
        self.leave()
        if self.station.counts.associations:
            self._end_all(AssociationEnd(Ended.DRAINED, Reason.DRAINING, "the gateway stops"), at_once=True)
        await _within(_TICK, self._empty)
        for connection in list(self._connections):  # their peers do not close
            connection.drop()
        self._ticker.cancel()
        self.station.records.close()
        self.station.poller.close()

    def _end_all(self, end: AssociationEnd, *, at_once: bool) -> None:
        # A copy: a connection that ends at once leaves the set.
        for connection in list(self._connections):
            with connection.guarded():
                connection.end(end, at_once=at_once)

    # --- GateOwner and AssociationOwner -----------------------------------------------------------------------------

    def accepted(self, listener: Listener, connection: socket.socket, peer: tuple[Any, ...]) -> None:
        """Count a new connection and serve it, or close it at once and record why."""
        address = normalize(peer[0])
        claim = self._claim(listener, address)
        if not isinstance(claim, Claim):
            connection.close()
            self._record_closed(listener, address, peer[1], *claim)
            return
        try:
            connection.setblocking(False)
            tune(connection, self.station.config.timeouts.unacknowledged)
            arrival = Arrival(listener, connection, address, peer[1], claim)
            served = Association(self, self.station, self._guard, arrival)
        except BaseException:  # the peer has left already, or memory is short: the claim must not stay counted
            connection.close()
            self.station.counts.disconnect(claim)
            raise
        self._empty.clear()
        self._connections.add(served)

    def _claim(self, listener: Listener, address: Address) -> Claim | tuple[Reason, str]:
        """Count a connection for its address, or return why it is refused."""
        proxied = listener.proxy_protocol
        if proxied is None and not contains(listener.policy.networks, address):
            return Reason.ADDRESS_DENIED, ADDRESS_DENIED
        # A load balancer speaks for many addresses. The one in its PROXY header is counted when it has been read.
        speaks_for_others = proxied is not None and contains(proxied.trusted, address)
        return self.station.counts.connect(None if speaks_for_others else address)

    def _record_closed(self, listener: Listener, address: Address, port: int, reason: Reason, detail: str) -> None:
        metrics = self.station.metrics
        metrics.add("connections_total", (listener.name,))
        metrics.add("connections_rejected_total", (listener.name, str(reason)))
        record = AccessRecord(new_id(), time.time(), listener.name, decision="refused")
        record.client_ip, record.client_port = address, port
        record.reason, record.detail = reason, detail
        self.station.records.write(record)

    async def exclusive_turn(self) -> None:
        """Wait for a turn of the event loop in which no other association parses a large request."""
        # The lock passes to the next waiter only in a later turn, and in between the other associations are served.
        async with self._turns:
            await asyncio.sleep(0)

    def established(self, established: Established) -> None:
        """Add an association that the upstream has accepted."""
        self._established.add(established)

    def relayed(self, established: Established) -> None:
        """Decide again if a new configuration came while the upstream was asked."""
        # `start` may have ended it already.
        if established in self._established:
            self._end_if_refused(established)

    def forget(self, connection: Connection) -> None:
        """Remove a closed connection, and release everything that it was counted for."""
        if connection not in self._connections:  # reported twice: by its legs and by `drop`
            return
        self.station.counts.disconnect(connection.claim)
        if connection.established is not None:
            self._established.discard(connection.established)
        if connection.forwarded:
            self.station.journal.closed(connection.account.record.id)
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()
        self._look_idle()

    def _look_idle(self) -> None:
        if self.draining and not self.station.counts.associations:
            self._idle.set()

    # --- called for the supervisor ----------------------------------------------------------------------------------

    def status(self) -> list[AssociationStatus]:
        """Return the established associations."""
        return [established.status() for established in self._established]

    def disconnect(self, meant: Callable[[str, str, str | None], bool]) -> int:
        """End the associations for which `meant(id, tenant, peer)` holds. Return their number."""
        # Chosen first, ended afterwards: ending one changes the set.
        chosen = []
        for established in self._established:
            record = established.account.record
            if not established.ending and meant(record.id, record.tenant or "", record.peer):
                chosen.append(established)
        for established in chosen:
            with established.guarded():
                established.end(AssociationEnd(Ended.DISCONNECTED, Reason.DISCONNECTED, "by an operator"))
        return len(chosen)

    def recheck(self, config: Config, tls: Mapping[str, ListenerTls]) -> Coroutine[Any, Any, None]:
        """Return a coroutine that decides every open association again, and ends those that `config` refuses.

        Traffic goes on meanwhile: there may be thousands of associations, and each request is parsed again. The call
        itself, not the coroutine, puts `config` in force for associations that are established from here on.
        """
        listeners = {listener.name: listener for listener in config.listeners}

        def refusal(established: Established) -> str | None:
            name = established.listener.name
            return established.decide_again(listeners.get(name), tls.get(name))

        # Set here and not in the coroutine: an association that is established from now on is in no list, and `relayed`
        # decides on it.
        self._refusal = refusal
        return self._end_refused(refusal, list(self._established))

    async def _end_refused(self, refusal: Callable[[Established], str | None], several: Sequence[Established]) -> None:
        began = time.monotonic()
        for established in several:
            if time.monotonic() - began > LONGEST_TURN:
                await asyncio.sleep(0)
                began = time.monotonic()
            if self._refusal is not refusal:
                return  # a newer configuration decides on all of them
            if established in self._established:
                self._end_if_refused(established)

    def end_all(self, why: str) -> int:
        """End every open association, because no new decision on it is possible. Return their number.

        An association that cannot be judged is refused (invariant 7, docs/architecture.md).
        """
        self._refusal = lambda _: f"it could not be decided again: {why}"
        return sum(self._end_if_refused(established) for established in list(self._established))

    def _end_if_refused(self, established: Established) -> bool:
        with established.guarded():
            why = self._refusal(established) if self._refusal is not None else None
            if why is not None:
                established.end(AssociationEnd(Ended.POLICY_CHANGED, Reason.POLICY_CHANGED, why))
                return True
        return False

    # --- the tick ---------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        loop, now = self.station.loop, time.monotonic()
        late = max(0.0, loop.time() - self._tick_due)
        self._tick_due = loop.time() + _TICK
        self._ticker = loop.call_at(self._tick_due, self._tick)  # first: the rest may raise
        self.station.metrics.observe("event_loop_lag_seconds", (), late)
        for established in list(self._established):
            with established.guarded():
                established.tick(now)
        self.station.records.sum_up()


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event, `seconds` at most."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
