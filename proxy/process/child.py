"""One worker process as the supervisor sees it."""

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
_GATHER = 0.01  # seconds; at a thousand associations per second thirty messages are read at once


class Child:
    """A worker process: started, spoken to, and watched until it is gone.

    `ready` is set when it serves, `gone` when the process has ended and its channel was read to the end. `open` holds
    the records of the associations that it has not closed yet.
    """

    def __init__(
        self, start: Start, write_line: Callable[[bool, bytes], None], ended: Callable[["Child"], None]
    ) -> None:
        self.start = start
        self.ready = asyncio.Event()
        self.idle = asyncio.Event()
        self.gone = asyncio.Event()
        self.failure = ""
        self.expected_to_end = False
        self.draining = False
        self.missed_beats = 0
        self.ready_at: float | None = None
        self.open: dict[str, OpenRecord] = {}
        self.snapshot: Snapshot = {}
        self.returncode: int | None = None
        self.silent = False
        self._write_line = write_line
        self._ended = ended
        self._numbers = itertools.count()
        self._questions: dict[int, asyncio.Future[Any]] = {}
        self._channel_lost = asyncio.Event()
        self._channel = Channel(self._received, self._channel_lost.set, gather=_GATHER)
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Of the process; 0 before it is started."""
        return self._process.pid if self._process is not None else 0

    @property
    def state(self) -> str:
        """For the `workers` metric."""
        if not self.ready.is_set() or self.gone.is_set():  # gone: its replacement is on the way
            return "starting"
        if self.silent:
            return "silent"
        return "draining" if self.draining else "running"

    async def spawn(self) -> None:
        """Start the process and hand it everything. Of one that cannot be started, `ended` is told as of any other."""
        ours, theirs = None, None
        try:
            ours, theirs = socket.socketpair()
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
            await self._channel.open(ours)
        except BaseException as error:
            if ours is not None:
                ours.close()  # whom it was meant for ends at once
            self.failure = f"cannot be started: {str(error) or type(error).__name__}"
            self._is_gone()
            if not isinstance(error, OSError | MemoryError):
                raise
        else:
            self._channel.send(Order.START, self.start)
            self._watch = asyncio.create_task(self._wait())
        finally:
            if theirs is not None:
                theirs.close()

    def send(self, order: Order, value: Any = None) -> None:
        """Give an order; one to a process that is gone is lost."""
        self.expected_to_end |= order in (Order.STOP, Order.RETIRE)
        self.draining |= order in (Order.STOP, Order.RETIRE, Order.DRAIN)
        self._channel.send(order, value)

    async def ask(self, question: Question, value: Any = None) -> Any:
        """Ask; None where no answer comes within ANSWER_TIMEOUT."""
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
        """End the process now, whatever it does."""
        if self._process is not None and not self.gone.is_set():
            try:
                self._process.send_signal(signal.SIGKILL)
            except ProcessLookupError:
                pass

    async def _wait(self) -> None:
        assert self._process is not None
        self.returncode = await self._process.wait()
        await self._channel_lost.wait()
        self._is_gone()

    def _is_gone(self) -> None:
        self.gone.set()
        for answer in self._questions.values():
            if not answer.done():
                answer.set_result(None)
        self._ended(self)

    def _received(self, kind: str, value: Any) -> None:
        self.missed_beats = 0
        self.silent = False
        if kind == Report.LINE:
            id, line = value
            # In one step: a worker killed behind this message must not get a second record for the association.
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
            answer = self._questions.get(value[0])
            if answer is not None and not answer.done():
                answer.set_result(value[1])
        elif kind == Report.READY:
            self.ready_at = asyncio.get_running_loop().time()
            self.ready.set()
        elif kind == Report.FAILED:
            self.failure = value
        elif kind == Report.IDLE:
            self.idle.set()
        elif kind == Report.LEAVING:
            self.snapshot = value
