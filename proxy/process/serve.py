"""The serving process: sockets, log, admin address and one worker, from start to a clean stop.

The worker is handed its sockets and its configuration and knows nothing of this file.
"""

import asyncio
import contextlib
import importlib
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from proxy.config.values import Config
from proxy.net.worker import Worker
from proxy.observe.admin import AdminServer
from proxy.observe.certificates import certificate_series
from proxy.observe.eventlog import EventLog
from proxy.observe.metrics import Snapshot
from proxy.process.sockets import bind, close
from proxy.tls.contexts import ListenerTls

_WARN_DAYS = 30
_DAY = 86_400.0


def contexts(config: Config) -> dict[str, ListenerTls]:
    """The TLS contexts of every TLS listener, each proved by a handshake with itself. Raises `TlsSetupError`."""
    built = {}
    for listener in config.listeners:
        if listener.tls is not None:
            built[listener.name] = ListenerTls(listener)
            built[listener.name].self_test()
    return built


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises `BindError`, `TlsSetupError`, `AdminError`; OSError for a log file."""
    tls = contexts(config)
    sockets = bind(config)
    try:
        _run_loop(lambda: _Process(config, tls, sockets).serve())
    finally:
        close(sockets)


def _run_loop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run on uvloop; on asyncio's own loop where uvloop is missing, which is slower and said."""
    try:
        factory = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        sys.stderr.write("dicomgate: uvloop is not installed: running on asyncio's own, slower event loop\n")
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


class _Process:
    """One run of the gateway."""

    def __init__(self, config: Config, tls: dict[str, ListenerTls], sockets: Mapping[str, list[socket.socket]]) -> None:
        self._config = config
        self._tls = tls
        self._sockets = sockets
        self._journal = _Journal(config)
        self._signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._worker: Worker | None = None
        self._stopping = ""

    async def serve(self) -> None:
        """From the first socket to the last record."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signals.put_nowait, number)
        loop.add_signal_handler(signal.SIGUSR1, self._journal.reopen)
        loop.add_signal_handler(signal.SIGHUP, self._reload_is_missing)
        loop.set_exception_handler(self._report)
        worker = self._worker = Worker(self._config, self._tls, self._sockets, self._journal)
        admin = None
        try:
            for (name, labels), value in certificate_series(self._config).items():
                worker.metrics.set(name, labels, value)
            worker.metrics.set("config_last_reload_successful", (), 1)
            worker.metrics.set("config_last_reload_success_timestamp_seconds", (), time.time())
            worker.metrics.set("workers", ("running",), 1)
            if self._config.admin is not None:
                admin = AdminServer(self._config.admin, metrics=self._snapshots, ready=self._ready)
                await admin.start()
            worker.start()
            self._say_started(worker)
            await self._until_stopped(worker)
        finally:
            await worker.stop()
            if admin is not None:
                await admin.close()
            self._journal.event("info", "stopped")
            self._journal.close()

    async def _until_stopped(self, worker: Worker) -> None:
        """SIGTERM drains, a second one ends it at once."""
        number = await self._signals.get()
        timeouts = self._config.timeouts
        self._stopping = f"{number.name}: draining"
        self._journal.event("info", "draining", signal=number.name, associations=worker.open_associations)
        drained = asyncio.ensure_future(self._drain(worker, timeouts.drain_delay, timeouts.drain))
        again = asyncio.ensure_future(self._signals.get())
        await asyncio.wait((drained, again), return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, again):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _drain(self, worker: Worker, delay: float, seconds: float) -> None:
        await asyncio.sleep(delay)
        await worker.drain(seconds)

    async def _snapshots(self) -> Sequence[Snapshot]:
        assert self._worker is not None
        self._worker.metrics.set("log_dropped_total", (), self._journal.dropped)
        return (self._worker.metrics.snapshot(),)

    def _ready(self) -> tuple[bool, str]:
        return (not self._stopping, self._stopping or "ready")

    def _say_started(self, worker: Worker) -> None:
        for listener in self._config.listeners:
            self._journal.event(
                "info",
                "listening",
                listener=listener.name,
                bind=[f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in listener.bind],
                tls=listener.tls.profile if listener.tls is not None else None,
                tenants=[entrance.tenant.name for entrance in listener.policy.entrances],
            )
        self._say_capped(worker.counts.connections_limit, self._config.limits.connections)
        self._warn_of_expiry()
        self._journal.event("info", "started", config=self._config.path)

    def _say_capped(self, limit: int, configured: int) -> None:
        """Nothing to worry about where only the descriptors that are kept in reserve are missing."""
        if limit < configured:
            text = f"the descriptor limit of the process allows {limit} of limits.connections {configured}"
            remedy = "more: LimitNOFILE= of the unit, or ulimit -n"
            self._journal.event(
                "warning" if limit < configured // 2 else "info", "connections_capped", message=f"{text}; {remedy}"
            )

    def _warn_of_expiry(self) -> None:
        for (name, labels), not_after in certificate_series(self._config).items():
            days = (not_after - time.time()) / _DAY
            if name == "tls_certificate_not_after_timestamp_seconds" and days < _WARN_DAYS:
                self._journal.event(
                    "warning", "certificate_expires", use=labels[0], certificate=labels[1], days_left=round(days, 1)
                )

    def _reload_is_missing(self) -> None:
        self._journal.event("warning", "reload_refused", message="SIGHUP does nothing yet: restart to load a change")

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What asyncio would print: one line of the log instead."""
        error = context.get("exception")
        if self._worker is not None and isinstance(error, BaseException):
            self._worker.report_bug(str(context.get("message")), error)
        else:
            self._journal.event("error", "internal", message=str(context.get("message")))


class _Journal:
    """The application log on standard output, and the access log there or in a file of its own."""

    def __init__(self, config: Config) -> None:
        log = config.log
        form = log.format or ("console" if sys.stdout.isatty() else "json")
        self._log = EventLog(sys.stdout, format=form, level=log.level)
        self._access = self._log
        if log.access_path != "-":
            self._access = EventLog(log.access_path, format="json", level=log.level)

    def event(self, level: str, name: str, **fields: Any) -> None:
        """One line of the application log."""
        self._log.event(level, name, **fields)

    def access(self, record: dict[str, Any]) -> None:
        """One access record."""
        self._access.access(record)

    @property
    def dropped(self) -> int:
        """Lines lost since the start."""
        return self._log.dropped + (self._access.dropped if self._access is not self._log else 0)

    def reopen(self) -> None:
        """After a log rotation."""
        self._log.reopen()
        if self._access is not self._log:
            self._access.reopen()

    def close(self) -> None:
        """Write what waits."""
        if self._access is not self._log:
            self._access.close()
        self._log.close()
