"""All generations of workers: the one that serves, and older ones that serve their associations to the end.

Every worker has a slot of the shared table for its counts. The table is created at start with slots for all
generations: it cannot grow while processes have it mapped, and limits count the associations of every generation.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from socket import socket

from proxy.config.values import Config
from proxy.process.generation import Generation, StartFailed, worker_count
from proxy.process.logs import SupervisorLogs
from proxy.process.messages import Order
from proxy.process.totals import Totals
from proxy.process.worker_process import WorkerProcess
from proxy.shared.table import SharedTable

#: Old generations that may live at once. Without a limit, associations that last hours and a reload every minute would
#: pile up processes.
_OLD_GENERATIONS = 8


def slots_for(config: Config) -> int:
    """Return the number of slots: for the old generations, the one that serves and one that is being started.

    Each gets one more than its workers, as a later configuration may ask for more workers. If the slots do not suffice
    for a later configuration, its reload fails and asks for a restart.
    """
    return (worker_count(config) + 1) * (_OLD_GENERATIONS + 2)


class Generations:
    """Starts, replaces and ends generations. It is the `GenerationOwner` of each.

    `niceness`: of the workers. `give_up` is called if workers end as soon as they start.
    """

    def __init__(
        self, table: SharedTable, logs: SupervisorLogs, totals: Totals, give_up: Callable[[str], None]
    ) -> None:
        self.table = table
        self.niceness = 0
        self.give_up = give_up
        self._logs = logs
        self._totals = totals
        self._current: Generation | None = None
        self._old: list[Generation] = []
        self._free_slots = list(range(table.slots))
        self._started = 0  # generations so far, failed ones included: the number of the next

    @property
    def serving(self) -> bool:
        """Return whether the first generation has started."""
        return self._current is not None and self._current.serving

    def all(self) -> list[Generation]:
        """Return the old generations, oldest first, and the one that serves."""
        return [*self._old, *([self._current] if self._current is not None else [])]

    def workers(self) -> list[WorkerProcess]:
        """Return the workers of all generations."""
        return [worker for generation in self.all() for worker in generation.workers.values()]

    def associations(self) -> int:
        """Return the number of open associations."""
        return sum(len(worker.open) for worker in self.workers())

    def tick(self) -> None:
        """Check once a second for stuck workers, and forget the old generations that have ended."""
        for generation in self.all():
            generation.tick()
        self._old = [generation for generation in self._old if generation.workers]

    # --- start and replacement --------------------------------------------------------------------------------------

    async def start(self, config: Config, sockets: Mapping[str, Sequence[socket]]) -> None:
        """Start the first generation. Raises `StartFailed` and OSError."""
        self._current = self._new(config, sockets)
        await self._current.start()

    def cannot_be_replaced(self) -> str | None:
        """Return the obstacle to another generation now, or None."""
        if len(self._old) >= _OLD_GENERATIONS:
            return f"{len(self._old)} old generations still serve associations, the most that may live at once"
        return None

    async def replace(self, config: Config, sockets: Mapping[str, Sequence[socket]]) -> Generation:
        """Start a generation that serves `config`, then retire the others. Return the new one.

        The others go on accepting until every new worker serves, so that no connection is refused in between.
        Raises `StartFailed` and OSError; then the others keep serving.
        """
        generation = self._new(config, sockets)
        try:
            await generation.start()
        except asyncio.CancelledError:  # the gateway is stopping
            generation.kill()
            raise
        # The order to retire travels over the channels. Until the old workers read it, both generations accept, each
        # under its own configuration; associations of the old one are decided again under the new one.
        if self._current is not None:
            self._old.append(self._current)
        self._current = generation
        for old in self._old:  # all of them: the older generations decide again under each newer configuration
            old.retire(config)
        return generation

    def _new(self, config: Config, sockets: Mapping[str, Sequence[socket]]) -> Generation:
        self._started += 1
        descriptors = {name: [sock.fileno() for sock in group] for name, group in sockets.items()}
        return Generation(self, self._started, config, descriptors, self._logs.format)

    # --- end --------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Refuse new associations in every worker."""
        for generation in self.all():
            generation.drain()

    def retire(self, config: Config | None) -> None:
        """Stop accepting in every worker."""
        for generation in self.all():
            generation.retire(config)

    def abort(self) -> None:
        """Abort the open associations, each at its next PDU boundary."""
        for generation in self.all():
            generation.order(Order.END)

    async def idle_within(self, seconds: float) -> bool:
        """Wait until no worker has an association. Return False if that takes longer than `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(worker.idle_or_gone() for worker in self.workers()))
        except TimeoutError:
            return False
        return True

    async def close(self, patience: float) -> None:
        """Stop every worker. One that has not ended after `patience` seconds is killed."""
        generations = self.all()
        for generation in generations:
            generation.stop()
        try:
            async with asyncio.timeout(patience):
                await asyncio.gather(*(generation.gone() for generation in generations))
        except TimeoutError:
            for generation in generations:
                generation.kill()
            await asyncio.gather(*(generation.gone() for generation in generations))

    # --- generation.GenerationOwner ---------------------------------------------------------------------------------

    def take_slots(self, count: int) -> tuple[int, ...]:
        """Take free slots of the table. Raises `StartFailed` if there are too few."""
        if len(self._free_slots) < count:
            raise StartFailed(f"no room for {count} more worker processes: restart the gateway")
        taken = tuple(self._free_slots[:count])
        del self._free_slots[:count]
        return taken

    def free_slot(self, slot: int) -> None:
        """Take back the slot of a process that has ended."""
        self._free_slots.append(slot)

    def write_line(self, access: bool, line: bytes) -> None:
        """Write a line that a worker formatted, to the access log or to the application log."""
        self._logs.write_line(access, line)

    def event(self, level: str, name: str, **fields: object) -> None:
        """Write an event to the application log."""
        self._logs.event(level, name, **fields)

    def association_lost(self, record: Mapping[str, object]) -> None:
        """Write and count an association that ended with its worker, on the worker's behalf."""
        self._logs.write_record(record)
        self._totals.association_lost(str(record["tenant"]))

    def worker_left(self, worker: WorkerProcess) -> None:
        """Keep the counters of a worker that has ended."""
        self._totals.keep(worker.snapshot)
