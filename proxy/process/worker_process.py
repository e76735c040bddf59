"""A worker process from the side of the supervisor."""

import asyncio
import itertools
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from proxy import __version__
from proxy.observe.metrics import Snapshot
from proxy.process.channel import Channel
from proxy.process.messages import OpenRecord, Order, Question, Report, Start

#: How long a worker may take to answer a question, in seconds.
ANSWER_TIMEOUT = 1.0
_GATHER = 0.01  # seconds; at a thousand associations per second thirty messages are read together


class WorkerProcess:
    """Starts a worker, exchanges messages with it, and watches it until it has ended.

    Three events show its state. `ready` is set once the worker serves; `idle` once it drains and has no association
    left; `gone` when the process has ended and its channel has been read to the end, or when it could not be started.
    `open` contains the records of the associations that the worker has not closed yet, by id.

    `write_line(access, line)` receives its log lines. `ended` is called once, when `gone` is set.
    """

    def __init__(
        self, start: Start, write_line: Callable[[bool, bytes], None], ended: Callable[["WorkerProcess"], None]
    ) -> None:
        self.start = start
        self.ready = asyncio.Event()
        self.idle = asyncio.Event()
        self.gone = asyncio.Event()
        self.failure = ""
        self.expected_to_end = False
        self.draining = False
        self.missed_beats = 0
        self.ready_at: float | None = None  # by the clock of the event loop
        self.open: dict[str, OpenRecord] = {}
        self.snapshot: Snapshot = {}  # the last metrics it sent
        self.returncode: int | None = None
        self.silent = False  # the last question for metrics got no answer
        self._write_line = write_line
        self._ended = ended
        self._numbers = itertools.count()  # tell a late answer from the answer to a later question
        self._questions: dict[int, asyncio.Future[Any]] = {}
        self._channel_lost = asyncio.Event()
        self._channel = Channel(self._received, self._channel_lost.set, gather=_GATHER)
        self._process: asyncio.subprocess.Process | None = None
        self._early: list[tuple[Order, Any]] | None = []  # orders given before START was sent; None after that
        self._killed = False
        self._life: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Return the process id, or 0 before the process is started."""
        return self._process.pid if self._process is not None else 0

    @property
    def state(self) -> str:
        """Return the state in the `workers` metric: starting, running, draining or silent."""
        if not self.ready.is_set() or self.gone.is_set():  # gone: the replacement is about to be started
            return "starting"
        if self.silent:
            return "silent"
        return "draining" if self.draining else "running"

    def begin(self) -> None:
        """Start the process and return at once: `ready` shows success, `gone` failure."""
        self._life = asyncio.create_task(self._live())

    async def _live(self) -> None:
        try:
            process = await self._spawn()
            self.returncode = await process.wait()
            # The channel may still contain messages that the worker sent before its end. Read them first, or records
            # would be lost and closed associations be written again as lost ones.
            await self._channel_lost.wait()
        except (OSError, MemoryError) as error:
            self.kill()  # if the process did start, and only sending START failed
            why = error.strerror if isinstance(error, OSError) else "no memory"
            self.failure = f"no process could be started: {why or error}"
        self.gone.set()
        for answer in self._questions.values():
            if not answer.done():
                answer.set_result(None)
        self._ended(self)

    async def _spawn(self) -> asyncio.subprocess.Process:
        ours, theirs = socket.socketpair()
        # Close the worker's end here once the worker has inherited it. While the supervisor held a copy, the channel
        # would stay open after the worker's death, and `_live` would wait for ever.
        with theirs:
            await self._channel.open(ours)
            listening = [fd for group in self.start.sockets.values() for fd in group]
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "proxy.process.serving",
                str(theirs.fileno()),
                __version__,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), self.start.table[0], *listening),
            )
        if self._killed:  # while the process was being started
            self.kill()
        # START first: the worker ignores every order but STOP before it. The orders given meanwhile follow.
        self._channel.send(Order.START, self.start)
        orders, self._early = self._early or [], None
        for order, value in orders:
            self._channel.send(order, value)
        return self._process

    async def ready_or_gone(self, patience: float) -> None:
        """Wait until the worker serves or has ended, for at most `patience` seconds."""
        await _any_of(self.ready, self.gone, patience=patience)

    async def idle_or_gone(self) -> None:
        """Wait until the worker has no association left or has ended."""
        await _any_of(self.idle, self.gone)

    def send(self, order: Order, value: Any = None) -> None:
        """Give an order. It is kept while the process is being started, and dropped after the process has ended."""
        # Set here, not on receipt: the process may end right after it has read the order.
        self.expected_to_end |= order in (Order.STOP, Order.RETIRE)
        self.draining |= order in (Order.STOP, Order.RETIRE, Order.DRAIN)
        if self._early is not None:
            self._early.append((order, value))
        else:
            self._channel.send(order, value)

    async def ask(self, question: Question, value: Any = None) -> Any:
        """Ask a question and return the answer, or None if there is none within ANSWER_TIMEOUT."""
        if not self.ready.is_set() or self.gone.is_set():
            return None
        number = next(self._numbers)
        answer = self._questions[number] = asyncio.get_running_loop().create_future()
        self._channel.send(Order.ASK, (number, question, value))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._questions[number]

    def kill(self) -> None:
        """Kill the process now, or if it is being started, as soon as it exists."""
        self._killed = True
        if self._process is not None and not self.gone.is_set():
            try:
                self._process.send_signal(signal.SIGKILL)
            except ProcessLookupError:
                pass

    def _received(self, kind: str, value: Any) -> None:
        self.missed_beats = 0  # any message proves that the event loop of the worker runs
        self.silent = False
        if kind == Report.LINE:
            id, line = value
            # Close the open record in the same step. If the worker is killed right after this message, the association
            # must not get a second record.
            self.open.pop(id, None)
            self._write_line(id is not None, line)
        elif kind == Report.OPENED:
            self.open[value[0]] = value[1]
        elif kind == Report.ACCEPTED:
            id, changes = value
            if id in self.open:
                self.open[id] += changes
        elif kind == Report.CLOSED:
            self.open.pop(value, None)
        elif kind == Report.ANSWER:
            answer = self._questions.get(value[0])  # None: the answer is late, and `ask` has given up
            if answer is not None and not answer.done():
                answer.set_result(value[1])
        else:
            self._state_reported(kind, value)

    def _state_reported(self, kind: str, value: Any) -> None:
        if kind == Report.READY:
            self.ready_at = asyncio.get_running_loop().time()
            self.ready.set()
        elif kind == Report.FAILED:
            self.failure = value
        elif kind == Report.IDLE:
            self.idle.set()
        elif kind == Report.LEAVING:
            self.snapshot = value


async def _any_of(*events: asyncio.Event, patience: float | None = None) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
