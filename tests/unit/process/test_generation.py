"""Workers whose processes cannot be started, or that receive orders while they are being started."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from proxy.process import generation, worker_process
from proxy.process.generation import Generation, StartFailed
from proxy.process.worker_process import WorkerProcess
from proxy.shared.table import SharedTable
from tests.support import defaults

SLOTS = 4


class Owner:
    """A supervisor that keeps its events and its free slots."""

    niceness = 0

    def __init__(self) -> None:
        self.table = SharedTable.create(SLOTS, 1)
        self.free = list(range(SLOTS))
        self.events: list[tuple[str, dict[str, object]]] = []
        self.given_up = ""

    def take_slots(self, count: int) -> tuple[int, ...]:
        return tuple(self.free.pop(0) for _ in range(count))

    def free_slot(self, slot: int) -> None:
        self.free.append(slot)

    def write_line(self, access: bool, line: bytes) -> None:
        raise AssertionError(line)

    def event(self, level: str, name: str, **fields: object) -> None:
        self.events.append((name, fields))

    def association_lost(self, record: object) -> None:
        raise AssertionError(record)

    def worker_left(self, worker: WorkerProcess) -> None:
        pass

    def give_up(self, why: str) -> None:
        self.given_up = why


class Process:
    """A worker process that does nothing until it is killed."""

    pid = 4711

    def __init__(self, channel: int) -> None:
        self.channel = os.dup(channel)
        self.signals: list[int] = []
        self.ended = asyncio.Event()

    def send_signal(self, number: int) -> None:
        self.signals.append(number)
        if not self.ended.is_set():
            os.close(self.channel)
            self.ended.set()

    async def wait(self) -> int:
        await self.ended.wait()
        return -self.signals[0]

    def received(self) -> bytes:
        return os.read(self.channel, 65536)


class Machine:
    """A machine with room for a number of processes. Each start waits for `begin`."""

    def __init__(self) -> None:
        self.room = SLOTS
        self.shortage: Exception = OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self.processes: list[Process] = []
        self.begin: Callable[[], Awaitable[None]] | None = None

    async def start(self, *command: Any, **options: Any) -> Process:
        if self.begin is not None:
            await self.begin()
        if len(self.processes) >= self.room:
            raise self.shortage
        process = Process(int(command[3]))
        self.processes.append(process)
        return process


@pytest.fixture
def owner() -> Iterator[Owner]:
    owner = Owner()
    yield owner
    owner.table.close()
    os.close(owner.table.descriptor)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(worker_process.asyncio, "create_subprocess_exec", machine.start)
    return machine


def workers(owner: Owner, count: int) -> Generation:
    return Generation(owner, 1, defaults.config(workers=count), {}, "json")


def all_begun(one: Generation) -> bool:
    return bool(one.workers) and all(worker.pid or worker.gone.is_set() for worker in one.workers.values())


async def serving(owner: Owner, count: int) -> Generation:
    """Return a generation whose workers report READY as soon as they are started."""
    one = workers(owner, count)
    started = asyncio.ensure_future(one.start())
    await turns_until(lambda: all_begun(one))
    for worker in one.workers.values():
        if worker.pid:
            worker._received("ready", None)
    await started
    return one


async def turns_until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - turns of the loop, not time
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("shortage", "why"),
    [(OSError(errno.EAGAIN, "Resource temporarily unavailable"), "Resource temporarily"), (MemoryError(), "no memory")],
    ids=["processes", "memory"],
)
async def test_a_generation_that_cannot_start_all_workers_leaves_none(
    owner: Owner, machine: Machine, shortage: Exception, why: str
) -> None:
    machine.room, machine.shortage = 1, shortage
    with pytest.raises(StartFailed, match=f"no process could be started: {why}"):
        await serving(owner, 2)
    assert [process.signals for process in machine.processes] == [[9]]
    assert sorted(owner.free) == list(range(SLOTS))


async def test_a_generation_with_a_worker_that_hangs_is_not_waited_for_long(
    owner: Owner, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "_READY_TIMEOUT", 0.01)
    with pytest.raises(StartFailed, match=r"a worker did not serve within 0\.01 s"):
        await workers(owner, 2).start()
    assert [process.signals for process in machine.processes] == [[9], [9]]


async def test_a_lost_worker_is_started_again_when_there_is_room(
    owner: Owner, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "_FIRST_PAUSE", 0.0)
    one = await serving(owner, 1)
    machine.room = 1
    machine.processes[0].send_signal(9)
    await turns_until(lambda: len(owner.events) > 3)
    assert owner.events[1] == (
        "worker_lost",
        {
            "pid": 0,
            "ended": "nothing",
            "associations": 0,
            "message": "no process could be started: Resource temporarily unavailable",
        },
    )
    machine.room = 2
    await turns_until(lambda: len(machine.processes) == 2)
    assert not owner.given_up
    one.kill()
    one.stop()
    await one.gone()


async def starting_again(owner: Owner, machine: Machine) -> tuple[Generation, asyncio.Event]:
    """Return a generation whose only worker was lost, and the event that lets the replacement start."""
    one = await serving(owner, 1)
    starting, go = asyncio.Event(), asyncio.Event()

    async def begin() -> None:
        starting.set()
        await go.wait()

    machine.begin = begin
    machine.processes[0].send_signal(9)
    await starting.wait()
    return one, go


@pytest.mark.parametrize("order", ["retire", "drain", "stop"])
async def test_an_order_to_a_worker_that_is_being_started_arrives_after_start(
    owner: Owner, machine: Machine, order: str
) -> None:
    one, go = await starting_again(owner, machine)
    if order == "retire":
        one.retire(None)
    else:
        getattr(one, order)()
    go.set()
    await turns_until(lambda: len(machine.processes) == 2)
    await turns_until(lambda: one.workers[0]._early is None)
    received = machine.processes[1].received()
    assert b"start" in received
    assert received.index(b"start") < received.index(order.encode())
    one.kill()
    await one.gone()


async def test_a_worker_that_is_being_started_can_be_killed(owner: Owner, machine: Machine) -> None:
    one, go = await starting_again(owner, machine)
    one.stop()
    one.kill()
    go.set()
    async with asyncio.timeout(5):
        await one.gone()
    assert machine.processes[1].signals == [9]


async def test_a_worker_that_never_serves_is_replaced(owner: Owner, machine: Machine) -> None:
    one = await serving(owner, 1)
    machine.processes[0].send_signal(9)
    await turns_until(lambda: len(machine.processes) == 2 and one.workers[0].pid)
    for _ in range(int(generation._READY_TIMEOUT)):
        one.tick()
    assert owner.events[-1] == ("worker_stuck", {"pid": 4711, "seconds": 30})
    await turns_until(lambda: len(machine.processes) == 3)
    one.stop()
    one.kill()
    await one.gone()
