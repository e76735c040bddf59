"""A worker process: started by the supervisor, told everything over its channel, writing nothing by itself.

python -m proxy.process.serving CHANNEL-DESCRIPTOR VERSION-OF-THE-SUPERVISOR
"""

import asyncio
import contextlib
import importlib
import signal
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

from proxy import __version__
from proxy.config.values import Config
from proxy.net.worker import Worker
from proxy.observe.access import AccessRecord, Json
from proxy.observe.eventlog import LEVELS, event_record
from proxy.observe.lines import console_line, json_line
from proxy.observe.metrics import Snapshot
from proxy.process.channel import Channel, encode
from proxy.process.messages import Order, Question, Report, Start, changes, open_record
from proxy.process.precedence import stand_back
from proxy.shared.counts import Counts
from proxy.shared.probes import Probes
from proxy.shared.server_states import ServerStates
from proxy.shared.table import SharedTable
from proxy.tls.contexts import ListenerTls
from proxy.tls.errors import TlsSetupError
from proxy.tls.upstreams import upstream_contexts

_BEAT = 1.0  # seconds
_TOLD_BY_THE_SUPERVISOR = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class WorkerJournal:
    """Log lines and access records, formatted here and written by the supervisor."""

    def __init__(self, channel: Channel, level: str, form: str) -> None:
        self._channel = channel
        self._threshold = LEVELS[level]
        self._format = console_line if form == "console" else json_line
        self._open: set[str] = set()  # associations that the supervisor would write a record of

    def event(self, level: str, name: str, **fields: Any) -> None:
        """One line of the application log."""
        if LEVELS[level] >= self._threshold:
            self._offer(None, event_record(level, name, fields))

    def access(self, record: dict[str, Json]) -> None:
        """One access record, which also closes what was opened."""
        id = str(record["id"])
        if self._offer(id, record):
            self._open.discard(id)

    def opened(self, record: AccessRecord) -> None:
        """A request goes to its upstream: should this process be killed, the supervisor writes its record."""
        self._open.add(record.id)
        self._channel.send(Report.OPENED, (record.id, open_record(record, time.monotonic())))

    def accepted(self, record: AccessRecord) -> None:
        """Only what has changed goes: the whole record costs ten times as much."""
        self._channel.send(Report.ACCEPTED, (record.id, changes({"contexts": record.contexts()})))

    def closed(self, id: str) -> None:
        """What was opened is over. Said only where no line has said so: one that was summed up, or dropped."""
        if id in self._open:
            self._open.remove(id)
            self._channel.send(Report.CLOSED, id)

    def _offer(self, id: str | None, record: Mapping[str, object]) -> bool:
        return self._channel.offer(Report.LINE, (id, self._format(record).encode("ascii") + b"\n"))


class _Serving:
    """The life of a worker process."""

    def __init__(self) -> None:
        self._over = asyncio.Event()
        self._channel = Channel(self._received, self._supervisor_lost)
        self._worker: Worker | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._retiring = False

    async def run(self, sock: socket.socket) -> None:
        """Serve until told to end, or until the last association of a retired worker has ended."""
        for number in _TOLD_BY_THE_SUPERVISOR:
            asyncio.get_running_loop().add_signal_handler(number, lambda: None)
        await self._channel.open(sock)
        await self._over.wait()
        worker, channel = self._worker, self._channel
        if worker is not None:
            await worker.stop()
            channel.send(Report.LEAVING, self._snapshot(worker))
        await channel.close()

    def _received(self, kind: str, value: Any) -> None:
        if kind == Order.START:
            self._start(value)
        elif kind == Order.STOP:
            self._over.set()
        elif self._worker is None:
            return
        elif kind == Order.SERVE:
            self._worker.start()
        elif kind == Order.DRAIN:
            self._spawn(self._drain(self._worker))
        elif kind == Order.END:
            self._worker.abort_all()
        elif kind == Order.RETIRE:
            self._retire(self._worker, value)
        elif kind == Order.ASK:
            number, question, argument = value
            self._channel.send(Report.ANSWER, (number, self._answer(self._worker, question, argument)))

    def _start(self, start: Start) -> None:
        stand_back(start.niceness)
        try:
            tls = {one.name: ListenerTls(one) for one in start.config.listeners if one.tls is not None}
            upstream_tls = upstream_contexts(start.config.upstreams.values())
        except TlsSetupError as error:
            self._channel.send(Report.FAILED, str(error))
            self._over.set()
            return
        sockets = {name: [socket.socket(fileno=fd) for fd in fds] for name, fds in start.sockets.items()}
        journal = WorkerJournal(self._channel, start.config.log.level, start.log_format)
        table = SharedTable(*start.table)
        counts = Counts(start.config.limits, table, start.slot, start.siblings)
        states, probes = ServerStates(table), Probes(table)
        self._worker = Worker(start.config, tls, upstream_tls, sockets, journal, counts, states, probes)
        asyncio.get_running_loop().set_exception_handler(self._report)
        self._channel.send(Report.READY)
        self._spawn(self._beat())

    async def _beat(self) -> None:
        while True:
            self._channel.send(Report.BEAT)
            await asyncio.sleep(_BEAT)

    async def _drain(self, worker: Worker) -> None:
        await worker.drain()
        self._channel.send(Report.IDLE)

    def _retire(self, worker: Worker, config: Config | None) -> None:
        if not self._retiring:
            self._retiring = True
            worker.leave()
            self._spawn(self._end_when_empty(worker))
        if config is not None:
            try:
                tls = {one.name: ListenerTls(one) for one in config.listeners if one.tls is not None}
                self._spawn(worker.recheck(config, tls))
            # It was checked: only memory or descriptors can be missing here. What nobody can decide is not let pass.
            except (TlsSetupError, OSError, MemoryError) as error:
                why = str(error) or type(error).__name__
                worker.station.journal.event("error", "recheck_failed", message=why, ended=worker.end_all(why))

    async def _end_when_empty(self, worker: Worker) -> None:
        await worker.empty()
        self._over.set()

    def _answer(self, worker: Worker, question: Question, argument: Any) -> Any:
        if question == Question.SNAPSHOT:
            return self._snapshot(worker)
        if question == Question.STATUS:
            return worker.status()
        return worker.disconnect(argument.holds)

    def _snapshot(self, worker: Worker) -> Snapshot:
        worker.station.metrics.set("log_dropped_total", (), self._channel.dropped)
        return worker.station.metrics.snapshot()

    def _supervisor_lost(self) -> None:
        """Nobody restarts or reloads us any more: others may have the addresses; what is open is served to its end."""
        if self._worker is None or self._over.is_set():
            self._over.set()
            return
        if not self._retiring:
            self._retiring = True
            self._worker.leave()
            self._spawn(self._drain_alone(self._worker))

    async def _drain_alone(self, worker: Worker) -> None:
        try:
            async with asyncio.timeout(worker.station.config.timeouts.drain):
                await worker.empty()
        except TimeoutError:
            pass
        self._over.set()

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if self._worker is not None and isinstance(error, BaseException):
            self._worker.station.records.bug(str(context.get("message")), error)


def main() -> None:
    """Run on uvloop, or on asyncio's own loop where uvloop is missing (the supervisor says so)."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    supervisor = sys.argv[2]
    if supervisor != __version__:  # an update, and no restart yet: what it would say may mean something else here
        why = f"the program is now version {__version__}, and the supervisor still {supervisor}: restart the gateway"
        with sock, contextlib.suppress(OSError):  # the supervisor has ended meanwhile
            sock.sendall(encode(Report.FAILED, why))
        return
    try:
        factory = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_Serving().run(sock))


if __name__ == "__main__":
    main()
