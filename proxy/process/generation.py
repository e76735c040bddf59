"""One generation: one configuration, the workers that serve it, and their replacement when one dies.

A generation is immutable: a worker that replaces a killed one gets the very values that the first ones got.
"""

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from proxy.config.values import Config
from proxy.observe.access import rfc3339
from proxy.policy import Ended
from proxy.process.child import Child
from proxy.process.messages import OPENED_AT, Order, Start, read_record
from proxy.shared.table import SharedTable

_READY_TIMEOUT = 30.0  # seconds until a new worker must serve
_LIVED = 1.0  # a worker that served for so many seconds did not fail at its start
_FIRST_PAUSE = 0.1  # before a worker that failed at its start is started again; doubled each time
_LONGEST_PAUSE = 5.0
_GIVE_UP = 8  # failed starts in a row
_MISSED_BEATS = 15  # ticks of the supervisor without a sign of life


class Host(Protocol):
    """What a generation needs of the supervisor."""

    table: SharedTable
    niceness: int  # of the workers

    def take_slots(self, count: int) -> tuple[int, ...]:
        """Free slots of the table. Raises `StartFailed` where there are not so many."""

    def free_slot(self, slot: int) -> None:
        """The slot's process is gone."""

    def write_line(self, access: bool, line: bytes) -> None:
        """A line of a worker."""

    def event(self, level: str, name: str, **fields: object) -> None:
        """A line of the log."""

    def association_lost(self, record: Mapping[str, object]) -> None:
        """An association died with its worker: its access record."""

    def worker_left(self, child: Child) -> None:
        """A worker is gone, its totals are to be kept."""

    def give_up(self, why: str) -> None:
        """Workers die as soon as they start."""


class StartFailed(Exception):
    """A worker of a new generation could not start; the text says why."""


class Generation:
    """Workers under one configuration."""

    def __init__(
        self, host: Host, number: int, config: Config, sockets: Mapping[str, Sequence[int]], log_format: str
    ) -> None:
        self.number = number
        self.config = config
        self.children: dict[int, Child] = {}  # by slot
        self.serving = False
        self.retiring = False
        self._host = host
        self._sockets = {name: tuple(descriptors) for name, descriptors in sockets.items()}
        self._log_format = log_format
        count = config.workers or len(os.sched_getaffinity(0))
        self._slots = host.take_slots(count)
        self._draining = False
        self._failed_starts = 0
        self._respawns: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start all workers; raises `StartFailed` and leaves none behind if one of them does not come up."""
        children = [self._new_child(slot) for slot in self._slots]
        for child in children:
            child.expected_to_end = True  # until all are up nobody replaces one
            child.begin()
        for child in children:
            up, gone = asyncio.ensure_future(child.ready.wait()), asyncio.ensure_future(child.gone.wait())
            await asyncio.wait((up, gone), timeout=_READY_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            up.cancel()
            gone.cancel()
            ended = next((other for other in children if other.gone.is_set()), None)
            if ended is not None or not child.ready.is_set():
                for other in children:
                    other.kill()
                await asyncio.gather(*(other.gone.wait() for other in children))
                if ended is None:
                    raise StartFailed(f"a worker did not serve within {_READY_TIMEOUT:g} s")
                raise StartFailed(ended.failure or f"a worker ended with {_how(ended.returncode)} before it served")
        for child in children:
            child.expected_to_end = False
        self.order(Order.SERVE)
        self.serving = True

    def _new_child(self, slot: int) -> Child:
        table = self._host.table
        start = Start(
            self.config,
            self._sockets,
            (table.descriptor, table.slots, table.rows),
            slot,
            self._slots,
            self._log_format,
            self._host.niceness,
        )
        child = self.children[slot] = Child(start, self._host.write_line, self._child_ended)
        return child

    def tick(self) -> None:
        """Once a second: a worker whose event loop does not turn is replaced, and so is one that never serves."""
        for child in list(self.children.values()):
            if not child.gone.is_set():
                child.missed_beats += 1
                if child.missed_beats == (_MISSED_BEATS if child.ready.is_set() else _READY_TIMEOUT):
                    self._host.event("error", "worker_stuck", pid=child.pid, seconds=child.missed_beats)
                    child.kill()

    def retire(self, config: Config | None) -> None:
        """Stop accepting; serve what is open to its end, but for what `config` refuses."""
        self.retiring = True
        self.order(Order.RETIRE, config)

    def drain(self) -> None:
        """Refuse new associations, here and in workers that come later."""
        self._draining = True
        self.order(Order.DRAIN)

    def order(self, order: Order, value: object = None) -> None:
        """Tell all workers."""
        for child in self.children.values():
            child.send(order, value)

    def stop(self) -> None:
        """End everything now."""
        self.retiring = True
        for task in self._respawns:
            task.cancel()
        self.order(Order.STOP)

    def kill(self) -> None:
        """End the processes, whatever they do."""
        for child in self.children.values():
            child.kill()

    async def gone(self) -> None:
        """Until no process of this generation is left."""
        for child in list(self.children.values()):
            await child.gone.wait()

    def _child_ended(self, child: Child) -> None:
        slot = child.start.slot
        self._host.table.forget(slot)
        lost = len(child.open)
        self._write_lost(child)
        self._host.worker_left(child)
        if child.expected_to_end or self.retiring:
            self.children.pop(slot, None)
            self._host.free_slot(slot)
            return
        self._host.event(
            "error",
            "worker_lost",
            pid=child.pid,
            ended=_how(child.returncode),
            associations=lost,
            message=child.failure or None,
        )
        served = 0.0 if child.ready_at is None else asyncio.get_running_loop().time() - child.ready_at
        # One that served and was killed from outside did not fail at its start, however short its life was.
        lived = served >= _LIVED or (child.ready_at is not None and child.returncode == -signal.SIGKILL)
        self._failed_starts = 0 if lived else self._failed_starts + 1
        if self._failed_starts >= _GIVE_UP:
            self._host.give_up(f"{self._failed_starts} workers in a row ended as soon as they started")
            return
        pause = 0.0 if self._failed_starts <= 1 else min(_FIRST_PAUSE * 2**self._failed_starts, _LONGEST_PAUSE)
        task = asyncio.create_task(self._respawn(slot, pause))
        self._respawns.add(task)
        task.add_done_callback(self._respawns.discard)

    async def _respawn(self, slot: int, pause: float) -> None:
        await asyncio.sleep(pause)
        if self.retiring:
            self.children.pop(slot, None)
            self._host.free_slot(slot)
            return
        child = self._new_child(slot)
        child.begin()
        if self._draining:
            child.send(Order.DRAIN)
        child.send(Order.SERVE)

    def _write_lost(self, child: Child) -> None:
        """The access records of associations that died with their worker."""
        now = time.time()
        for lines in child.open.values():
            record = read_record(lines)
            duration = record["duration_s"] + time.monotonic() - record.pop(OPENED_AT)
            self._host.association_lost(
                {**record, "ts": rfc3339(now), "ended": str(Ended.WORKER_LOST), "duration_s": round(duration, 3)}
            )
        child.open.clear()


def _how(returncode: int | None) -> str:
    if returncode is None:
        return "nothing"
    if returncode < 0:
        try:
            return signal.Signals(-returncode).name
        except ValueError:
            return f"signal {-returncode}"
    return f"exit code {returncode}"
