"""One generation: one configuration and the workers that serve it. A worker that dies is replaced.

The configuration of a generation is immutable. The supervisor reads every file once per generation, and a replacement
worker gets the same values as its predecessor: a file that has changed since takes effect with a reload, for all
workers at once.
"""

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from proxy.config.values import Config
from proxy.observe.times import rfc3339
from proxy.policy import Ended
from proxy.process.messages import OPENED_AT, Order, Start, read_record
from proxy.process.worker_process import WorkerProcess
from proxy.shared.table import SharedTable

_READY_TIMEOUT = 30.0  # seconds until a new worker must serve
_LIVED = 1.0  # seconds of service after which the end of a worker is no failed start
_FIRST_PAUSE = 0.1  # seconds, doubled with each failed start in a row; none after the first failure
_LONGEST_PAUSE = 5.0
_GIVE_UP = 8  # failed starts in a row
#: Ticks of the supervisor without a message from the worker, which sends a beat every second. So many, because a long
#: turn of its loop (a large request, a swapping machine) is no reason to kill all its associations.
_MISSED_BEATS = 15


def worker_count(config: Config) -> int:
    """Return the configured number of workers, or one for each CPU that this process may use."""
    return config.workers or len(os.sched_getaffinity(0))


class GenerationOwner(Protocol):
    """The part of the supervisor that a generation calls."""

    table: SharedTable
    niceness: int  # of the workers

    def take_slots(self, count: int) -> tuple[int, ...]:
        """Take free slots of the table. Raises `StartFailed` if there are too few."""

    def free_slot(self, slot: int) -> None:
        """Take back the slot of a process that has ended."""

    def write_line(self, access: bool, line: bytes) -> None:
        """Write a line that a worker formatted, to the access log or to the application log."""

    def event(self, level: str, name: str, **fields: object) -> None:
        """Write an event to the application log."""

    def association_lost(self, record: Mapping[str, object]) -> None:
        """Write and count an association that ended with its worker."""

    def worker_left(self, worker: WorkerProcess) -> None:
        """Keep the counters of a worker that has ended."""

    def give_up(self, why: str) -> None:
        """End the gateway: workers end as soon as they start."""


class StartFailed(Exception):
    """A worker of a new generation could not start. The text names the cause."""


class Generation:
    """The workers under one configuration. `sockets`: descriptors of the listening sockets by listener name."""

    def __init__(
        self,
        owner: GenerationOwner,
        number: int,
        config: Config,
        sockets: Mapping[str, Sequence[int]],
        log_format: str,
    ) -> None:
        """Raises `StartFailed` if the table has no room for the workers."""
        self.number = number
        self.config = config
        self.workers: dict[int, WorkerProcess] = {}  # by slot
        self.serving = False
        self.retiring = False
        self._owner = owner
        self._sockets = {name: tuple(descriptors) for name, descriptors in sockets.items()}
        self._log_format = log_format
        self._slots = owner.take_slots(worker_count(config))
        self._draining = False
        self._failed_starts = 0
        self._respawns: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start all workers. If one of them does not come up, end all and raise `StartFailed`."""
        workers = [self._new_worker(slot) for slot in self._slots]
        for worker in workers:
            worker.expected_to_end = True  # until all are up, one failure ends the whole attempt: none is replaced
            worker.begin()
        for worker in workers:
            await worker.ready_or_gone(_READY_TIMEOUT)
            # Any worker, not only this one: after a failure there is no reason to wait for the slow ones.
            ended = next((other for other in workers if other.gone.is_set()), None)
            if ended is not None or not worker.ready.is_set():
                await self._take_back(workers)
                if ended is None:
                    raise StartFailed(f"a worker did not serve within {_READY_TIMEOUT:g} s")
                raise StartFailed(
                    ended.failure or f"a worker ended with {_describe_end(ended.returncode)} before it served"
                )
        for worker in workers:
            worker.expected_to_end = False
        # Workers accept only now. While the start could still fail, a failure would cut what they had accepted.
        self.order(Order.SERVE)
        self.serving = True

    async def _take_back(self, workers: Sequence[WorkerProcess]) -> None:
        for worker in workers:
            worker.kill()
        await asyncio.gather(*(worker.gone.wait() for worker in workers))

    def _new_worker(self, slot: int) -> WorkerProcess:
        table = self._owner.table
        start = Start(
            self.config,
            self._sockets,
            (table.descriptor, table.slots, table.rows),
            slot,
            self._slots,
            self._log_format,
            self._owner.niceness,
        )
        worker = self.workers[slot] = WorkerProcess(start, self._owner.write_line, self._worker_ended)
        return worker

    def tick(self) -> None:
        """Kill workers that are stuck; call it once a second.

        The event loop of a worker sends its beats, so they stop when the loop hangs. They are counted in ticks of this
        loop, not by the clock: after the supervisor itself was stopped or starved, no worker counts as late.
        """
        for worker in list(self.workers.values()):
            if not worker.gone.is_set():
                worker.missed_beats += 1
                # `==`, not `>=`: a process in uninterruptible sleep survives SIGKILL for a while, and one log line is
                # enough. Ticks come once a second, so the ready timeout is a number of ticks as well.
                if worker.missed_beats == (_MISSED_BEATS if worker.ready.is_set() else _READY_TIMEOUT):
                    self._owner.event("error", "worker_stuck", pid=worker.pid, seconds=worker.missed_beats)
                    worker.kill()

    def retire(self, config: Config | None) -> None:
        """Stop accepting and serve open associations to their end.

        With `config`, decide each of them again under it and end those that it refuses.
        """
        self.retiring = True
        self.order(Order.RETIRE, config)

    def drain(self) -> None:
        """Refuse new associations, in replacement workers too."""
        self._draining = True
        self.order(Order.DRAIN)

    def order(self, order: Order, value: object = None) -> None:
        """Send an order to every worker."""
        for worker in self.workers.values():
            worker.send(order, value)

    def stop(self) -> None:
        """End every association and every worker now."""
        self.retiring = True
        for task in self._respawns:
            task.cancel()
        self.order(Order.STOP)

    def kill(self) -> None:
        """Kill the processes."""
        for worker in self.workers.values():
            worker.kill()

    async def gone(self) -> None:
        """Wait until every process of this generation has ended."""
        for worker in list(self.workers.values()):
            await worker.gone.wait()

    # --- the end of a worker ----------------------------------------------------------------------------------------

    def _worker_ended(self, worker: WorkerProcess) -> None:
        slot = worker.start.slot
        # The worker may have been killed. Without this its counts would occupy the limits for ever.
        self._owner.table.forget(slot)
        lost = len(worker.open)
        # Each association leaves exactly one access record, so also those that a retired worker left open when killed.
        self._write_lost(worker)
        self._owner.worker_left(worker)
        if worker.expected_to_end or self.retiring:
            self.workers.pop(slot, None)
            self._owner.free_slot(slot)
            return
        self._owner.event(
            "error",
            "worker_lost",
            pid=worker.pid,
            ended=_describe_end(worker.returncode),
            associations=lost,
            message=worker.failure or None,
        )
        self._replace(worker)

    def _replace(self, worker: WorkerProcess) -> None:
        """Start another worker in the slot, after longer pauses while starts fail. Give up after _GIVE_UP of them."""
        served = 0.0 if worker.ready_at is None else asyncio.get_running_loop().time() - worker.ready_at
        # SIGKILL comes from outside (the OOM killer, an operator), so it is no failed start, even right after READY.
        lived = served >= _LIVED or (worker.ready_at is not None and worker.returncode == -signal.SIGKILL)
        self._failed_starts = 0 if lived else self._failed_starts + 1
        if self._failed_starts >= _GIVE_UP:
            self._owner.give_up(f"{self._failed_starts} workers in a row ended as soon as they started")
            return
        # Start the first replacement at once: one failure may be chance, and the other workers carry its share so far.
        pause = 0.0 if self._failed_starts <= 1 else min(_FIRST_PAUSE * 2**self._failed_starts, _LONGEST_PAUSE)
        task = asyncio.create_task(self._respawn(worker.start.slot, pause))
        self._respawns.add(task)
        task.add_done_callback(self._respawns.discard)

    async def _respawn(self, slot: int, pause: float) -> None:
        await asyncio.sleep(pause)
        if self.retiring:
            self.workers.pop(slot, None)
            self._owner.free_slot(slot)
            return
        worker = self._new_worker(slot)
        worker.begin()
        if self._draining:  # before SERVE, or the worker could let an association in between the two
            worker.send(Order.DRAIN)
        worker.send(Order.SERVE)

    def _write_lost(self, worker: WorkerProcess) -> None:
        """Write the access records of the associations that ended with their worker."""
        now = time.time()
        for pickles in worker.open.values():
            record = read_record(pickles)
            # Its duration when the record was made, plus the time since then.
            duration = record["duration_s"] + time.monotonic() - record.pop(OPENED_AT)
            self._owner.association_lost(
                {**record, "ts": rfc3339(now), "ended": str(Ended.WORKER_LOST), "duration_s": round(duration, 3)}
            )
        worker.open.clear()


def _describe_end(returncode: int | None) -> str:
    """Describe the end of a process: the name of a signal, an exit code, or "nothing" if it never started."""
    if returncode is None:
        return "nothing"
    if returncode < 0:
        try:
            return signal.Signals(-returncode).name
        except ValueError:
            return f"signal {-returncode}"
    return f"exit code {returncode}"
