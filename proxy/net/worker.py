"""A worker: it is handed listening sockets and one generation of the configuration, and serves associations."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from proxy.config.values import Config, Listener
from proxy.net.accounting import AssociationStatus, new_id
from proxy.net.association import Association
from proxy.net.gate import Gate
from proxy.net.loops import LoopGuard
from proxy.net.poller import LONGEST_TURN, Poller
from proxy.net.proxied import ADDRESS_DENIED
from proxy.net.servers import Servers
from proxy.net.tcp import tune
from proxy.observe.access import AccessRecord
from proxy.observe.json_values import Json
from proxy.observe.metrics import Metrics
from proxy.observe.suppression import Key, RefusalLimiter
from proxy.policy import Ended, Reason
from proxy.policy.addresses import contains, normalize
from proxy.shared.counts import Claim, Counts
from proxy.shared.probes import Probes
from proxy.shared.server_states import ServerStates
from proxy.tls.contexts import ListenerTls
from proxy.tls.upstreams import UpstreamContext
from proxy.upstream.dialling import Resolver

_TICK = 1.0  # seconds between two looks at silence, metrics and suppressed refusals


class Journal(Protocol):
    """Where events and access records go. Never blocks."""

    def event(self, level: str, name: str, **fields: Any) -> None:
        """One line of the log."""

    def access(self, record: dict[str, Json]) -> None:
        """One access record."""

    def opened(self, record: AccessRecord) -> None:
        """A request goes to its upstream: from here on somebody may believe in an association. Its record so far."""

    def accepted(self, record: AccessRecord) -> None:
        """The upstream has accepted what was opened."""

    def closed(self, id: str) -> None:
        """What was opened is over."""


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
        self.config = config
        self.tls = tls
        self.upstream_tls = upstream_tls
        self.journal = journal
        self.loop = asyncio.get_running_loop()
        self.listeners = {listener.name: listener for listener in config.listeners}
        self.poller = Poller(self.loop)
        self.metrics = Metrics(config)
        self.counts = counts
        self.resolver = Resolver()
        self.servers = Servers(states, counts, journal, config.timeouts.upstream_connect)
        self.loops = LoopGuard(config, probes, journal)
        self.debug = config.log.level == "debug"
        self.draining = False
        self._limiter = RefusalLimiter()
        self._associations: set[Association] = set()
        self._established: set[Association] = set()
        self._refusal: Callable[[Association], str | None] | None = None  # by a configuration behind this one
        self._turns = asyncio.Lock()
        self._idle = asyncio.Event()  # no association is left, while draining
        self._empty = asyncio.Event()  # no connection is left
        self._empty.set()
        self._gates = [Gate(self, self.listeners[name], sock) for name, socks in sockets.items() for sock in socks]
        self._tick_due = self.loop.time() + _TICK
        self._ticker = self.loop.call_at(self._tick_due, self._tick)

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to accept."""
        for gate in self._gates:
            gate.open()

    async def drain(self) -> None:
        """Refuse new associations as `draining`, until the last one has ended."""
        self.draining = True
        self.metrics.set("draining", (), 1)
        self._look_idle()
        await self._idle.wait()
        await _within(self.config.timeouts.close, self._empty)  # the last refusals are read

    def leave(self) -> None:
        """Accept nothing any more; what was accepted is served to its end."""
        for gate in self._gates:
            gate.close()

    async def empty(self) -> None:
        """Until the last connection is closed."""
        await self._empty.wait()

    def abort_all(self) -> None:
        """`timeouts.drain` is over: every association gets its A-ABORT at the next PDU boundary."""
        self._end_all(Ended.DRAINED, "timeouts.drain is over", at_once=False)

    async def stop(self) -> None:
        """End everything now."""
        self.draining = True
        self.leave()
        if self.counts.associations:
            self._end_all(Ended.DRAINED, "the gateway stops", at_once=True)
        await _within(_TICK, self._empty)
        for association in list(self._associations):  # whose peers do not close
            association.drop()
        self._ticker.cancel()
        self._write_suppressed(self._limiter.drain(time.monotonic()))
        self.poller.close()

    def _end_all(self, ended: Ended, detail: str, *, at_once: bool) -> None:
        for association in list(self._associations):
            with association.guarded():
                association.end(ended, Reason.DRAINING, detail, at_once=at_once)

    # --- associations -----------------------------------------------------------------------------------------------

    def accepted(self, listener: Listener, connection: socket.socket, peer: tuple[Any, ...]) -> None:
        """A connection came in: count it, or close it at once and say why."""
        address = normalize(peer[0])
        proxied = listener.proxy_protocol
        claim: Claim | tuple[Reason, str]
        if proxied is None and not contains(listener.policy.networks, address):
            claim = (Reason.ADDRESS_DENIED, ADDRESS_DENIED)
        else:
            # Whoever may speak for others is not one address among them: its PROXY header says who is counted.
            speaks_for_others = proxied is not None and contains(proxied.trusted, address)
            claim = self.counts.connect(None if speaks_for_others else address)
        if not isinstance(claim, Claim):
            connection.close()
            self.metrics.add("connections_total", (listener.name,))
            self.metrics.add("connections_rejected_total", (listener.name, str(claim[0])))
            record = AccessRecord(new_id(), time.time(), listener.name, decision="refused")
            record.client_ip, record.client_port = address, peer[1]
            record.reason, record.detail = claim
            self.write_record(record)
            return
        try:
            connection.setblocking(False)
            tune(connection, self.config.timeouts.unacknowledged)
            association = Association(self, listener, connection, address, peer[1], claim)
        except BaseException:  # gone already, or no memory for it: what was counted is given back
            connection.close()
            self.counts.disconnect(claim)
            raise
        self._empty.clear()
        self._associations.add(association)

    async def turn(self) -> None:
        """Wait for a turn of the event loop in which nobody else does what takes long."""
        async with self._turns:
            await asyncio.sleep(0)

    def established(self, association: Association) -> None:
        """An association has its relay."""
        self._established.add(association)

    def relayed(self, association: Association) -> None:
        """Its relay runs. A configuration that came while the upstream was asked decides on it as well."""
        if association in self._established:
            self._ended_as_refused(association)

    def forget(self, association: Association) -> None:
        """A connection is closed."""
        if association not in self._associations:
            return
        self.counts.disconnect(association.claim)
        self._established.discard(association)
        if association.forwarded:
            self.journal.closed(association.account.record.id)
        self._associations.discard(association)
        if not self._associations:
            self._empty.set()
        self._look_idle()

    def _look_idle(self) -> None:
        if self.draining and not self.counts.associations:
            self._idle.set()

    # --- what others ask --------------------------------------------------------------------------------------------

    def status(self) -> list[AssociationStatus]:
        """The established associations."""
        return [association.status() for association in self._established]

    def disconnect(self, meant: Callable[[str, str, str | None], bool]) -> int:
        """End the associations for which `meant(id, tenant, peer)` holds; how many these are."""
        chosen = []
        for association in self._established:
            record = association.account.record
            if not association.ending and meant(record.id, record.tenant or "", record.peer):
                chosen.append(association)
        for association in chosen:
            with association.guarded():
                association.end(Ended.DISCONNECTED, Reason.DISCONNECTED, "by an operator")
        return len(chosen)

    def recheck(self, config: Config, tls: Mapping[str, ListenerTls]) -> Coroutine[Any, Any, None]:
        """Decide every open association again under a new configuration, and end those that it refuses: to be awaited.

        Traffic goes on meanwhile: there may be thousands, and each request is read anew.
        """
        listeners = {listener.name: listener for listener in config.listeners}

        def refusal(association: Association) -> str | None:
            name = association.listener.name
            return association.decide_again(listeners.get(name), tls.get(name))

        self._refusal = refusal  # for those that are established from here on
        return self._end_refused(refusal, list(self._established))

    async def _end_refused(
        self, refusal: Callable[[Association], str | None], associations: Sequence[Association]
    ) -> None:
        began = time.monotonic()
        for association in associations:
            if time.monotonic() - began > LONGEST_TURN:
                await asyncio.sleep(0)
                began = time.monotonic()
            if self._refusal is not refusal:
                return  # a configuration behind this one decides on all of them
            if association in self._established:
                self._ended_as_refused(association)

    def end_undecided(self, why: str) -> int:
        """End every open association, for a new configuration cannot be asked about it; how many these are."""
        self._refusal = lambda _: f"it could not be decided again: {why}"
        return sum(self._ended_as_refused(association) for association in list(self._established))

    def _ended_as_refused(self, association: Association) -> bool:
        with association.guarded():
            why = self._refusal(association) if self._refusal is not None else None
            if why is not None:
                association.end(Ended.POLICY_CHANGED, Reason.POLICY_CHANGED, why)
                return True
        return False

    # --- what is written --------------------------------------------------------------------------------------------

    def write_record(self, record: AccessRecord) -> None:
        """Write an access record; repeated refusals of the same sender are summed up instead."""
        if record.decision != "accepted":
            key = (str(record.client_ip), record.calling_aet or "", str(record.reason))
            if not self._limiter.admit(key, time.monotonic()):
                return
        self.journal.access(record.to_dict(time.time()))

    def report_operation(self, record: AccessRecord, reason: Reason, detail: str) -> None:
        """Log that an operation was refused on a live association; of the same sender not without an end."""
        if self._limiter.admit((str(record.client_ip), record.calling_aet or "", str(reason)), time.monotonic()):
            self.journal.event(
                "warning",
                "operation_refused",
                id=record.id,
                tenant=record.tenant,
                peer=record.peer,
                calling_aet=record.calling_aet,
                reason=str(reason),
                detail=detail,
            )

    def _write_suppressed(self, suppressed: list[tuple[Key, int]]) -> None:
        for (address, calling, reason), count in suppressed:
            self.journal.event(
                "warning", "refusals_suppressed", address=address, calling_aet=calling, reason=reason, suppressed=count
            )

    def report_bug(self, message: str, error: BaseException) -> None:
        """A bug of ours: one error line with the exception's type and place, never the peer's bytes."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        try:
            place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "?"
            self.journal.event("error", "internal", message=message, error=f"{type(error).__name__}: {error}", at=place)
        except MemoryError:
            pass  # which is what there was to tell, most likely

    def _tick(self) -> None:
        now = time.monotonic()
        late = max(0.0, self.loop.time() - self._tick_due)
        self._tick_due = self.loop.time() + _TICK
        self._ticker = self.loop.call_at(self._tick_due, self._tick)  # first: what follows may fail
        self.metrics.observe("event_loop_lag_seconds", (), late)
        for association in list(self._established):
            with association.guarded():
                association.tick(now)
        self._write_suppressed(self._limiter.expired(time.monotonic()))


async def _within(seconds: float, event: asyncio.Event) -> bool:
    """Wait for an event; whether it came in time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
