"""A worker process: started by the supervisor and configured over its channel.

It reads no configuration file and writes no log; both are up to the supervisor.

    START -> READY -> SERVE -> ... -> RETIRE -> (last connection ends) -> LEAVING, exit
                                 `--> STOP ------------------------------^

If the channel closes, the supervisor has died: the worker stops accepting and exits after its last connection or
`timeouts.drain`.

python -m proxy.process.serving CHANNEL-DESCRIPTOR VERSION-OF-THE-SUPERVISOR
"""

import asyncio
import contextlib
import importlib
import signal
import socket
import sys
from typing import Any

from proxy import __version__
from proxy.config.values import Config
from proxy.net.worker import Worker
from proxy.observe.metrics import Snapshot
from proxy.process.channel import Channel, encode
from proxy.process.channel_journal import ChannelJournal
from proxy.process.messages import Order, Question, Report, Start
from proxy.process.priority import lower_priority
from proxy.shared.counts import Counts
from proxy.shared.probes import Probes
from proxy.shared.server_states import ServerStates
from proxy.shared.table import SharedTable
from proxy.tls.contexts import ListenerTls
from proxy.tls.errors import TlsSetupError
from proxy.tls.upstreams import upstream_contexts

#: Seconds between beats. The event loop that serves associations sends them, so they stop when it hangs.
_BEAT = 1.0
#: A terminal and `systemctl kill` send these to all processes of the gateway. A worker ignores them: the supervisor
#: acts on them and sends orders over the channel.
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class _Serving:
    """The life of a worker process."""

    def __init__(self) -> None:
        self._ended = asyncio.Event()
        self._channel = Channel(self._received, self._supervisor_lost)
        self._worker: Worker | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._retiring = False

    async def run(self, sock: socket.socket) -> None:
        """Serve until the order to stop, or until the last association of a retired worker has ended."""
        for number in _IGNORED:
            asyncio.get_running_loop().add_signal_handler(number, lambda: None)
        await self._channel.open(sock)
        await self._ended.wait()
        worker, channel = self._worker, self._channel
        if worker is not None:
            await worker.stop()
            # The final counters. Without them all counts since the last scrape would be lost with this process.
            channel.send(Report.LEAVING, self._snapshot(worker))
        await channel.close()

    def _received(self, kind: str, value: Any) -> None:
        if kind == Order.START:
            self._start(value)
        elif kind == Order.STOP:
            self._ended.set()
        elif self._worker is None:  # START has failed, and this process is about to end
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
        # First: with the inherited priority of the supervisor, the start of a worker would displace those that serve.
        lower_priority(start.niceness)
        try:
            # Built here again although the supervisor has proved them: an SSLContext cannot be sent to a process.
            tls = {one.name: ListenerTls(one) for one in start.config.listeners if one.tls is not None}
            upstream_tls = upstream_contexts(start.config.upstreams.values())
        except TlsSetupError as error:
            self._channel.send(Report.FAILED, str(error))
            self._ended.set()
            return
        # The descriptors have the same numbers as in the supervisor: `pass_fds` keeps them.
        sockets = {name: [socket.socket(fileno=fd) for fd in fds] for name, fds in start.sockets.items()}
        journal = ChannelJournal(self._channel, start.config.log.level, start.log_format)
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
        """Stop accepting, and decide open associations again under `config`. Each later reload calls this again."""
        if not self._retiring:
            self._retiring = True
            worker.leave()
            self._spawn(self._end_when_empty(worker))
        if config is not None:
            try:
                tls = {one.name: ListenerTls(one) for one in config.listeners if one.tls is not None}
                self._spawn(worker.recheck(config, tls))
            # The supervisor has proved this configuration, so only memory or descriptors can be missing here. Without
            # TLS contexts nothing can be decided again, and an association that may be forbidden now must end
            # (invariant 7, docs/architecture.md).
            except (TlsSetupError, OSError, MemoryError) as error:
                why = str(error) or type(error).__name__
                worker.station.journal.event("error", "recheck_failed", message=why, ended=worker.end_all(why))

    async def _end_when_empty(self, worker: Worker) -> None:
        await worker.empty()
        self._ended.set()

    def _answer(self, worker: Worker, question: Question, argument: Any) -> Any:
        if question == Question.SNAPSHOT:
            return self._snapshot(worker)
        if question == Question.STATUS:
            return worker.status()
        return worker.disconnect(argument.matches)

    def _snapshot(self, worker: Worker) -> Snapshot:
        worker.station.metrics.set("log_dropped_total", (), self._channel.dropped)
        return worker.station.metrics.snapshot()

    def _supervisor_lost(self) -> None:
        """Stop accepting and serve open associations to their end, for at most `timeouts.drain`.

        Without a supervisor nothing reloads or stops this worker, and the next gateway needs its addresses.
        """
        if self._worker is None or self._ended.is_set():
            self._ended.set()
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
        self._ended.set()

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if self._worker is not None and isinstance(error, BaseException):
            self._worker.station.records.bug(str(context.get("message")), error)


def main() -> None:
    """Run on uvloop, or on asyncio's own loop if uvloop is missing. The supervisor warns of that."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    supervisor = sys.argv[2]
    # After an update of the package without a restart, the old supervisor starts workers of the new version. Messages
    # are pickled objects, and their classes may differ between versions.
    if supervisor != __version__:
        why = f"the program was updated to {__version__}, the supervisor is still {supervisor}: restart the gateway"
        with sock, contextlib.suppress(OSError):  # the supervisor may have ended
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
