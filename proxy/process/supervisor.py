"""The supervisor: owns sockets, log, admin and control, and keeps one generation of workers serving.

It carries no traffic. What a reload changes takes effect as a new generation; the old one serves what it has to the
end. Every count that a limit needs lives in a table that outlives them all.
"""

import asyncio
import os
import signal
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from proxy.config.values import DEFAULT_CONTROL, Config
from proxy.observe.admin import AdminServer
from proxy.observe.expiry import ExpiryWatch
from proxy.observe.metrics import Snapshot
from proxy.policy.addresses import format_endpoint
from proxy.process.child import Child
from proxy.process.control import ControlError, ControlServer
from proxy.process.generation import Generation, StartFailed
from proxy.process.health import HealthChecks
from proxy.process.journal import Journal
from proxy.process.messages import Order
from proxy.process.notify import Notifier, inherited_sockets
from proxy.process.precedence import step_forward
from proxy.process.reload import Reloaded, Reloads
from proxy.process.requests import Requests
from proxy.process.sockets import BindError, ListeningSockets
from proxy.process.totals import Totals
from proxy.shared.counts import connections_for_descriptors, has_room, table_for
from proxy.shared.server_states import ServerStates
from proxy.tls.upstreams import UpstreamContext

_TICK = 1.0  # seconds
_OLD_GENERATIONS = 8
_STOP_PATIENCE = 5.0  # seconds for workers that were told to stop, before they are killed


class Supervisor:
    """One run of the gateway (`generation.Host`, `reload.Host`)."""

    def __init__(self, config: Config, files: Sequence[str], contexts: Mapping[str, UpstreamContext]) -> None:
        self.config = config
        workers = config.workers or len(os.sched_getaffinity(0))
        slots = (workers + 1) * (_OLD_GENERATIONS + 2)
        self.table = table_for(config.limits, tuple(config.tenants.values()), slots)
        self.servers = ServerStates(self.table)
        self.totals = Totals(config, self.servers)
        self.health = HealthChecks(self.servers, self.totals, self)
        self._contexts = contexts
        self._expiry = ExpiryWatch()
        self._expiry.configure(config)
        self.draining = ""
        self.current: Generation | None = None
        self.old: list[Generation] = []
        self._free_slots = list(range(slots))
        self._notifier = Notifier(os.environ)
        self._sockets = ListeningSockets(inherited_sockets(os.environ))
        self._journal = Journal(config)
        self._admin: AdminServer | None = None
        self._control: ControlServer | None = None
        self._signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._reloads = Reloads(self, files)
        self._numbers = 0
        self._exit_code = 0
        self._served = False
        self.niceness = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- life -------------------------------------------------------------------------------------------------------

    async def serve(self) -> int:
        """From the first socket to the last record."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signals.put_nowait, number)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self.reload("signal")))
        loop.add_signal_handler(signal.SIGUSR1, self._journal.reopen)
        # By default it would end the gateway, and whoever knows nginx or HAProxy may send it.
        text = "SIGUSR2 has no meaning here: SIGHUP reloads, SIGUSR1 opens the access log anew"
        loop.add_signal_handler(signal.SIGUSR2, lambda: self.event("warning", "signal_ignored", message=text))
        loop.set_exception_handler(self._report)
        self.niceness = step_forward()
        # Before anybody is told that it serves: what is changed from then on is a change.
        seen = self._reloads.fingerprint()
        try:
            await self._open_services()
            self.current = self._new_generation(self.config)
            await self.current.start()
            self._served = True
            self._say_started()
            self.health.configure(self.config, self._contexts)
            self._spawn(self._tick())
            self._spawn(self._reloads.watch(seen))
            await self._signals.get()
            await self._stop()
        finally:
            await self._close()
        return self._exit_code

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What asyncio would print: one line of the log instead."""
        self.event("error", "internal", message=str(context.get("message")), error=repr(context.get("exception")))

    async def _open_services(self) -> None:
        self._sockets.open(self.config)
        for address in self._sockets.unused():
            self.event("warning", "inherited_socket_unused", address=address)
        if self.config.admin is not None:
            self._admin = AdminServer(self.config.admin, metrics=self._snapshots, ready=self._ready)
            await self._admin.start()
        if self.config.control is not None:
            self._control = ControlServer(self.config.control, Requests(self).answer)
            try:
                await self._control.start()
            except ControlError as error:
                self._control = None
                if self.config.control != DEFAULT_CONTROL:
                    raise
                self.event("warning", "control_unavailable", message=str(error))

    async def _close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._reloads.close()
        await self.health.close()
        generations = [*self.old, *([self.current] if self.current is not None else [])]
        for generation in generations:
            generation.stop()
        try:
            async with asyncio.timeout(_STOP_PATIENCE):
                await asyncio.gather(*(generation.gone() for generation in generations))
        except TimeoutError:
            for generation in generations:
                generation.kill()
            await asyncio.gather(*(generation.gone() for generation in generations))
        if self._admin is not None:
            await self._admin.close()
        self._sockets.close()
        if self._served:
            self.event("info", "stopped")
        self._journal.close()
        if self._control is not None:  # last: whoever waits for the end takes this for it
            await self._control.close()

    def _say_started(self) -> None:
        for listener in self.config.listeners:
            self.event(
                "info",
                "listening",
                listener=listener.name,
                bind=[format_endpoint(*address) for address in listener.bind],
                tls=listener.tls.profile if listener.tls is not None else None,
                tenants=[entrance.tenant.name for entrance in listener.policy.entrances],
            )
        assert self.current is not None
        capped = connections_for_descriptors(self.config.limits) * len(self.current.children)
        configured = self.config.limits.connections
        if capped < configured:
            text = f"the descriptor limit of the processes allows {capped} of limits.connections {configured}"
            remedy = "more: LimitNOFILE= of the unit, or ulimit -n"
            # A few are missing wherever the limit is a round number: some descriptors are kept in reserve.
            self.event(
                "warning" if capped < configured // 2 else "info", "connections_capped", message=f"{text}; {remedy}"
            )
        self._say_expiring()
        self.event("info", "started", config=self.config.path, workers=len(self.current.children))
        self._notifier.ready(f"serving {len(self.config.listeners)} listeners")

    def _say_expiring(self) -> None:
        for ending in self._expiry.due(time.time()):
            self.event(ending.level, ending.event, **ending.fields)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self._say_expiring()
            for generation in self.generations():
                generation.tick()
            self.old = [generation for generation in self.old if generation.children]
            self._notifier.alive()

    def generations(self) -> list[Generation]:
        """The old ones and the one that serves."""
        return [*self.old, *([self.current] if self.current is not None else [])]

    def children(self) -> list[Child]:
        """All workers."""
        return [child for generation in self.generations() for child in generation.children.values()]

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.event("error", "internal", message="a task of the supervisor failed", error=repr(error))

    # --- stopping ---------------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        """Drain; a second signal ends it at once."""
        if self._exit_code:
            return
        drained = asyncio.ensure_future(self._drain_to_the_end())
        again = asyncio.ensure_future(self._signals.get())
        await asyncio.wait((drained, again), return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, again):
            task.cancel()

    async def _drain_to_the_end(self) -> None:
        timeouts = self.config.timeouts
        self.draining = "draining"
        self._notifier.stopping("draining")
        self.event("info", "draining", associations=sum(len(child.open) for child in self.children()))
        await asyncio.sleep(timeouts.drain_delay)
        if self._sockets.inherited:
            # Whoever owns the addresses keeps new connections for the next start.
            for generation in self.generations():
                generation.retire(None)
        else:
            self.drain()
        if not await self._all_idle(timeouts.drain):
            for generation in self.generations():
                generation.order(Order.END)
            await self._all_idle(2 * timeouts.close)

    def drain(self) -> None:
        """Refuse new associations as `draining`; the process stays."""
        self.draining = "draining"
        for generation in self.generations():
            generation.drain()

    async def _all_idle(self, seconds: float) -> bool:
        async def idle(child: Child) -> None:
            idle, gone = asyncio.ensure_future(child.idle.wait()), asyncio.ensure_future(child.gone.wait())
            await asyncio.wait((idle, gone), return_when=asyncio.FIRST_COMPLETED)
            idle.cancel()
            gone.cancel()

        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(idle(child) for child in self.children()))
        except TimeoutError:
            return False
        return True

    # --- reload -----------------------------------------------------------------------------------------------------

    async def reload(self, trigger: str) -> Reloaded:
        """Load the configuration again. Requests that come while one runs are one request behind it."""
        return await self._reloads.reload(trigger)

    def reload_begins(self) -> None:
        """A reload is under way (`reload.Host`)."""
        self._notifier.reloading()

    def reload_ended(self, trigger: str, outcome: Reloaded) -> None:
        """It is over."""
        self.totals.reloaded(trigger, ok=outcome.ok)
        if outcome.ok:
            self.event("info", "reloaded", trigger=trigger, message=outcome.text)
        else:
            self.event("error", "reload_failed", trigger=trigger, message=outcome.text)
        self._notifier.ready(outcome.text if outcome.ok else "reload failed; the last good configuration serves")

    def cannot_reload(self) -> str | None:
        """Why no other configuration may serve now."""
        if self.draining:
            return "the gateway is draining, which only a restart ends"
        if len(self.old) >= _OLD_GENERATIONS:
            return f"{len(self.old)} old generations still serve associations: no more than that live"
        return None

    async def change_to(self, config: Config, contexts: Mapping[str, UpstreamContext]) -> str:
        """Have a new generation serve `config`; what it is, in words.

        Raises `BindError`, `StartFailed` and OSError; then nothing has changed.
        """
        if not has_room(self.table, config.limits, tuple(config.tenants.values())):
            counted = f"limits.connections {config.limits.connections} and its tenants and peers"
            raise StartFailed(f"there is no room to count {counted}: a restart makes it")
        try:
            self._sockets.open(config)
            generation = self._new_generation(config)
            try:
                await generation.start()
            except asyncio.CancelledError:  # the gateway ends
                generation.kill()
                raise
        except (BindError, StartFailed, OSError):
            self._sockets.keep_only(self.config)
            raise
        before, self.current = self.current, generation
        waits = self._waits_for_restart(config)
        self.config = config
        if before is not None:
            self.old.append(before)
        for old in self.old:
            old.retire(config)
        self._sockets.keep_only(config)
        self.totals.configure(config)
        self._expiry.configure(config)
        self.servers.keep_only(config.upstreams.values())
        self.health.configure(config, contexts)
        if self.draining:  # since the reload began
            generation.drain()
        text = f"generation {generation.number} serves {config.path}"
        return f"{text}; {waits} change with a restart only" if waits else text

    def _waits_for_restart(self, config: Config) -> str:
        """What has changed and belongs to the supervisor itself, which lives on."""
        keys = ("log", "admin", "control")
        return ", ".join(key for key in keys if getattr(config, key) != getattr(self.config, key))

    def _new_generation(self, config: Config) -> Generation:
        self._numbers += 1
        sockets = {name: [s.fileno() for s in group] for name, group in self._sockets.open(config).items()}
        return Generation(self, self._numbers, config, sockets, self._journal.format)

    # --- generation.Host --------------------------------------------------------------------------------------------

    def take_slots(self, count: int) -> tuple[int, ...]:
        """Free slots of the table. Raises `StartFailed` where there are not so many."""
        if len(self._free_slots) < count:
            raise StartFailed(f"there is no room for {count} more worker processes: a restart makes it")
        taken = tuple(self._free_slots[:count])
        del self._free_slots[:count]
        return taken

    def free_slot(self, slot: int) -> None:
        """The slot's process is gone."""
        self._free_slots.append(slot)

    def write_line(self, access: bool, line: bytes) -> None:
        """A line of a worker."""
        self._journal.write_line(access, line)

    def event(self, level: str, name: str, **fields: object) -> None:
        """A line of the log."""
        self._journal.event(level, name, **fields)

    def association_lost(self, record: Mapping[str, object]) -> None:
        """An association died with its worker, which can neither write its access record nor count its end."""
        self._journal.write_record(record)
        self.totals.association_lost(str(record["tenant"]))

    def worker_left(self, child: Child) -> None:
        """A worker is gone, its totals are kept."""
        self.totals.keep(child.snapshot)

    def stop(self) -> None:
        """As SIGTERM."""
        self._signals.put_nowait(signal.SIGTERM)

    def give_up(self, why: str) -> None:
        """Workers die as soon as they start: whoever supervises us is to see it."""
        self.event("error", "giving_up", message=why)
        self._exit_code = 1
        self._signals.put_nowait(signal.SIGTERM)

    # --- what others ask --------------------------------------------------------------------------------------------

    async def _snapshots(self) -> Sequence[Snapshot]:
        children = self.children()
        return await self.totals.collect(children, draining=bool(self.draining), dropped=self._journal.dropped)

    def _ready(self) -> tuple[bool, str]:
        if self.current is None or not self.current.serving:
            return False, "starting"
        return (not self.draining, self.draining or "ready")
