"""The supervisor: owns the listening sockets, the logs, the admin and control sockets, and the worker processes.

It carries no traffic, so that it answers scrapes, probes and operators even while all workers are busy or hang. A
configuration never changes while it is in use: a reload starts a new generation of workers, and the old one serves its
associations to their end, unless the new configuration refuses them. The shared table outlives every generation,
because limits count the associations of all.

Its parts: `generations` starts, replaces and ends workers, `reload` loads and proves a configuration, `health` checks
servers, `totals` adds up metrics, `requests` answers the control socket. This file ties them to signals and sockets.
"""

import asyncio
import os
import signal
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from proxy.config.values import DEFAULT_CONTROL, Config
from proxy.observe.admin import AdminServer
from proxy.observe.certificates import read_ends
from proxy.observe.expiry import ExpiryWatch
from proxy.observe.metrics import Snapshot
from proxy.process.announcing import log_capped_connections, log_listeners
from proxy.process.control import ControlError, ControlServer
from proxy.process.generation import StartFailed
from proxy.process.generations import Generations, slots_for
from proxy.process.health import HealthChecks
from proxy.process.logs import SupervisorLogs
from proxy.process.notify import Notifier, inherited_sockets
from proxy.process.priority import raise_priority
from proxy.process.reload import Reloaded, Reloads, keys_for_a_restart
from proxy.process.requests import Requests
from proxy.process.sockets import BindError, ListeningSockets
from proxy.process.status import ask_status
from proxy.process.totals import Totals
from proxy.shared.counts import has_room, table_for
from proxy.shared.server_states import ServerStates
from proxy.tls.upstreams import UpstreamContext

_TICK = 1.0  # seconds
_STOP_PATIENCE = 5.0  # seconds that workers get to stop before they are killed


class Supervisor:
    """One run of the gateway."""

    def __init__(self, config: Config, files: Sequence[str], contexts: Mapping[str, UpstreamContext]) -> None:
        """`files`: the files that the configuration was read from. `contexts`: TLS contexts by upstream name.

        Raises OSError if the access log cannot be opened.
        """
        self.config = config
        self.draining = False
        self._contexts = contexts
        self._notifier = Notifier(os.environ)
        self._sockets = ListeningSockets(inherited_sockets(os.environ))
        self._logs = SupervisorLogs(config)
        self._table = table_for(config.limits, tuple(config.tenants.values()), slots_for(config))
        self._servers = ServerStates(self._table)
        ends = read_ends(config)
        self._totals = Totals(config, ends.series, self._servers)
        self._generations = Generations(self._table, self._logs, self._totals, self.give_up)
        self._health = HealthChecks(self._servers, self._totals, self._logs)
        self._expiry = ExpiryWatch()
        self._expiry.configure(ends)
        self._admin: AdminServer | None = None
        self._control: ControlServer | None = None
        self._signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._reloads = Reloads(self, files)
        self._exit_code = 0
        self._served = False
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- life -------------------------------------------------------------------------------------------------------

    async def serve(self) -> int:
        """Serve until SIGTERM or SIGINT and the drain that follows, or until workers cannot be kept running.

        Return the exit code. Raises `BindError`, `AdminError`, `ControlError`, `StartFailed` and OSError if the gateway
        cannot start.
        """
        self._handle_signals()
        self._generations.niceness = raise_priority()
        # Before the first READY: a file that is changed after READY must count as changed. `fingerprint` reads all
        # files, and may block here: nothing is served yet.
        seen = self._reloads.fingerprint()
        try:
            await self._open_services()
            await self._generations.start(self.config, self._sockets.open(self.config))
            self._served = True
            self._announce()
            self._health.configure(self.config, self._contexts)
            self._spawn(self._tick())
            self._spawn(self._reloads.watch(seen))
            await self._signals.get()
            await self._drain_until_stopped()
        finally:
            await self._close()
        return self._exit_code

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signals.put_nowait, number)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reloads.reload("signal")))
        loop.add_signal_handler(signal.SIGUSR1, self._logs.reopen)
        # The default action of SIGUSR2 would end the gateway. Administrators know it from nginx and HAProxy.
        text = "SIGUSR2 has no meaning here: SIGHUP reloads, SIGUSR1 reopens the access log"
        loop.add_signal_handler(signal.SIGUSR2, lambda: self._logs.event("warning", "signal_ignored", message=text))
        loop.set_exception_handler(self._report)

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log the exceptions that asyncio would print to stderr, each as one line."""
        message, error = str(context.get("message")), repr(context.get("exception"))
        self._logs.event("error", "internal", message=message, error=error)

    async def _open_services(self) -> None:
        # Before the workers, and the sockets first: an address in use is the likeliest mistake of a start, and nothing
        # has to be undone yet.
        self._sockets.open(self.config)
        for address in self._sockets.unused():
            self._logs.event("warning", "inherited_socket_unused", address=address)
        if self.config.admin is not None:
            self._admin = AdminServer(self.config.admin, metrics=self._snapshots, ready=self._ready)
            await self._admin.start()
        if self.config.control is not None:
            await self._open_control(self.config.control)

    async def _open_control(self, path: str) -> None:
        requests = Requests(
            reload=self._reloads.reload,
            drain=self.drain,
            stop=self.stop,
            workers=self._generations.workers,
            status=self._status,
        )
        control = ControlServer(path, requests.answer)
        try:
            await control.start()
        except ControlError as error:
            if path != DEFAULT_CONTROL:
                raise
            # An unprivileged user cannot create the default path under /run, and has not configured it: serve without.
            self._logs.event("warning", "control_unavailable", message=str(error))
        else:
            self._control = control

    async def _close(self) -> None:
        # The order matters. First the tasks (tick, watch), then reload and health checks: all could start or use
        # workers.
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._reloads.close()
        await self._health.close()
        # Workers before logs: until a worker has ended, its records and log lines arrive here.
        await self._generations.close(_STOP_PATIENCE)
        if self._admin is not None:
            await self._admin.close()
        self._sockets.close()
        if self._served:
            self._logs.event("info", "stopped")
        self._logs.close()
        if self._control is not None:  # last: `stop --wait` treats the disappearance of the socket as the end
            await self._control.close()

    def _announce(self) -> None:
        """Log what is served, then report readiness to the service manager."""
        workers = len(self._generations.workers())
        log_listeners(self.config, self._logs)
        log_capped_connections(self.config, workers, self._logs)
        self._log_expiring()
        self._logs.event("info", "started", config=self.config.path, workers=workers)
        self._notifier.ready(f"serving {len(self.config.listeners)} listeners")

    def _log_expiring(self) -> None:
        for ending in self._expiry.due(time.time()):
            self._logs.event(ending.level, ending.event, **ending.fields)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self._log_expiring()
            self._generations.tick()
            self._notifier.alive()  # sent by this loop: if the loop hangs, systemd's watchdog restarts the gateway

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._logs.event("error", "internal", message="a task of the supervisor failed", error=repr(error))

    # --- stopping ---------------------------------------------------------------------------------------------------

    async def _drain_until_stopped(self) -> None:
        """Drain until the last association has ended or a second signal arrives. After `give_up` do not drain."""
        if self._exit_code:
            return
        tasks = [asyncio.ensure_future(self._drain_to_the_end()), asyncio.ensure_future(self._signals.get())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()

    async def _drain_to_the_end(self) -> None:
        timeouts = self.config.timeouts
        self.draining = True
        self._notifier.stopping("draining")
        self._logs.event("info", "draining", associations=self._generations.associations())
        # From here on /readyz answers 503. Load balancers get `drain_delay` to notice it before requests are refused.
        await asyncio.sleep(timeouts.drain_delay)
        if self._sockets.inherited:
            # systemd owns the sockets and keeps new connections in their queues for the next start.
            self._generations.retire(None)
        else:
            # Keep accepting. A closed socket would look like a network failure; an A-ASSOCIATE-RJ 2/3/1 (temporary
            # congestion) asks the modality to try again later.
            self.drain()
        if not await self._generations.idle_within(timeouts.drain):
            self._generations.abort()
            # Twice: up to `close` for the next PDU boundary, and up to `close` again for the peer to close.
            await self._generations.idle_within(2 * timeouts.close)

    def drain(self) -> None:
        """Refuse new associations with reason `draining`. The process keeps running."""
        self.draining = True
        self._generations.drain()

    def stop(self) -> None:
        """Drain and end, as on SIGTERM."""
        self._signals.put_nowait(signal.SIGTERM)

    def give_up(self, why: str) -> None:
        """End with exit code 1, on which the service manager restarts the gateway: workers cannot be kept running."""
        self._logs.event("error", "giving_up", message=why)
        self._exit_code = 1
        self._signals.put_nowait(signal.SIGTERM)

    # --- reload.ReloadOwner -----------------------------------------------------------------------------------------

    def reload_begins(self) -> None:
        """Report to the service manager that a reload has begun."""
        self._notifier.reloading()

    def reload_ended(self, trigger: str, outcome: Reloaded) -> None:
        """Count, log and report the outcome of a reload."""
        self._totals.reloaded(trigger, ok=outcome.ok)
        if outcome.ok:
            self._logs.event("info", "reloaded", trigger=trigger, message=outcome.text)
        else:
            self._logs.event("error", "reload_failed", trigger=trigger, message=outcome.text)
        # READY after a failure too: systemd waits for it after RELOADING, and would report a timeout.
        self._notifier.ready(outcome.text if outcome.ok else "reload failed; the previous configuration stays active")

    def cannot_reload(self) -> str | None:
        """Return the obstacle to a reload now, or None."""
        if self.draining:
            return "the gateway is draining: only a restart ends that"
        return self._generations.cannot_be_replaced()

    async def change_to(self, config: Config, contexts: Mapping[str, UpstreamContext]) -> str:
        """Start a generation that serves `config`, retire the others, and return a sentence about the new state.

        Raises `BindError`, `StartFailed` and OSError; then nothing has changed.
        """
        # The table cannot grow: every process has mapped it.
        if not has_room(self._table, config.limits, tuple(config.tenants.values())):
            raise StartFailed(
                f"the shared counts have no room for {config.limits.connections} connections (limits.connections), the "
                "tenants and the peers: restart the gateway to apply this configuration"
            )
        ends = read_ends(config)
        try:
            # Bind first: an address in use is a likely mistake, and no process has been started yet.
            generation = await self._generations.replace(config, self._sockets.open(config))
        except (BindError, StartFailed, OSError):
            self._sockets.keep_only(self.config)
            raise
        # No await from here on: every part changes to the new configuration in one turn of the loop.
        waits = keys_for_a_restart(self.config, config)
        self.config = config
        self._sockets.keep_only(config)
        self._totals.configure(config, ends.series)
        self._expiry.configure(ends)
        self._servers.keep_only(config.upstreams.values())
        self._health.configure(config, contexts)
        if self.draining:  # a drain began while the generation was being started
            generation.drain()
        text = f"generation {generation.number} serves {config.path}"
        return f"{text}; restart the gateway to apply the changes of {waits}" if waits else text

    # --- answers for the admin and control sockets ------------------------------------------------------------------

    async def _snapshots(self) -> Sequence[Snapshot]:
        workers = self._generations.workers()
        return await self._totals.collect(workers, draining=self.draining, dropped=self._logs.dropped)

    def _ready(self) -> tuple[bool, str]:
        if not self._generations.serving:
            return False, "starting"
        return (False, "draining") if self.draining else (True, "ready")

    async def _status(self) -> Mapping[str, Any]:
        state = {"started": self._totals.started, "draining": self.draining}
        return state | await ask_status(self.config, self._generations.all(), self._servers, self._health)
