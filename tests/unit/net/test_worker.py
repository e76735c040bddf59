"""The worker: a connection that fails is released from every count, and costs the others nothing."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.net import refused
from proxy.net import worker as module
from proxy.net.association import Association
from proxy.net.association_end import AssociationEnd
from proxy.net.leg import Leg
from proxy.net.poller import Handler, Poller
from proxy.net.worker import Worker
from proxy.observe.access import AccessRecord
from proxy.observe.json_values import Json
from proxy.pdu import encode_abort
from proxy.policy import Ended
from proxy.shared.counts import Counts, table_for
from proxy.shared.probes import Probes
from proxy.shared.server_states import ServerStates
from tests.support.configs import PLAIN, load_text
from tests.unit.net.relay_bed import turns


class Journal:
    """Keeps events and records."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.records: list[dict[str, Json]] = []

    def event(self, level: str, name: str, **fields: Any) -> None:
        self.events.append(name)

    def access(self, record: dict[str, Json]) -> None:
        self.records.append(record)

    def opened(self, record: AccessRecord) -> None:
        self.events.append("opened")

    def accepted(self, record: AccessRecord) -> None:
        self.events.append("accepted")

    def closed(self, id: str) -> None:
        self.events.append("closed")


class Bed:
    """A worker that accepts on a port of its own."""

    def __init__(self, worker: Worker, journal: Journal, address: tuple[str, int]) -> None:
        self.worker = worker
        self.journal = journal
        self.address = address

    def connect(self) -> socket.socket:
        sock = socket.create_connection(self.address)
        sock.setblocking(False)
        return sock

    async def served(self, sock: socket.socket) -> bool:
        """Return whether a connection is served: it sends bytes that are no PDU, and gets the answer to them."""
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(sock, b"GET / HTTP/1.1\r\n\r\n")
            return await loop.sock_recv(sock, 100) == encode_abort(0, 0)
        except ConnectionError:
            return False

    async def serves(self) -> bool:
        """Return whether a new connection is served."""
        with self.connect() as sock:
            return await self.served(sock)


@contextlib.asynccontextmanager
async def bed(folder: Path, limits: str = "{connections: 1, connections_per_address: 1}") -> AsyncIterator[Bed]:
    config = load_text(folder, f"{PLAIN}limits: {limits}\n").config
    assert config is not None
    journal = Journal()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        table = table_for(config.limits, tuple(config.tenants.values()), 1)
        counts = Counts(config.limits, table, 0, (0,))
        worker = Worker(config, {}, {}, {"plain": [listening]}, journal, counts, ServerStates(table), Probes(table))
        worker.start()
        try:
            yield Bed(worker, journal, listening.getsockname())
        finally:
            await worker.stop()


class Shortage:
    """Lets the next registrations with the poller fail, as when the system has no room for them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 0
        register = Poller.register

        def scarce(poller: Poller, descriptor: int, mask: int, handler: Handler) -> None:
            if self.left:
                self.left -= 1
                raise OSError(errno.ENOSPC, "No space left on device")  # epoll_ctl: max_user_watches
            register(poller, descriptor, mask, handler)

        monkeypatch.setattr(Poller, "register", scarce)


LIMITS = ["{connections: 1}", "{connections_per_address: 1}", "{handshakes_per_address: 1}"]


@pytest.mark.parametrize("limits", LIMITS)
async def test_a_connection_that_cannot_be_served_is_not_counted(
    limits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shortage = Shortage(monkeypatch)
    async with bed(tmp_path, limits) as b:
        shortage.left = 1
        with b.connect() as sock:
            assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
        assert b.journal.events == ["accept_paused"]
        assert await b.serves()


async def test_a_refusal_that_finds_no_memory_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no memory for its access record, and none for the report of that failure."""
    async with bed(tmp_path) as b:

        def fail(*_: object, **__: object) -> None:
            raise MemoryError

        with monkeypatch.context() as shortage, b.connect() as sock:
            shortage.setattr(Journal, "access", fail)
            shortage.setattr(Journal, "event", fail)
            assert await b.served(sock)  # the answer is sent before the bookkeeping, which fails
        assert await b.serves()


async def test_a_refusal_whose_answer_cannot_be_sent_is_recorded_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise MemoryError

    async with bed(tmp_path) as b:
        with monkeypatch.context() as shortage, b.connect() as sock:
            shortage.setattr(refused, "encode_abort", fail)
            assert not await b.served(sock)
        assert [record["reason"] for record in b.journal.records] == ["pdu_unexpected"]
        assert await b.serves()


async def test_accepting_goes_on_when_a_shortage_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt to go on may fail several times. Failures are logged once a second."""
    shortage = Shortage(monkeypatch)
    async with bed(tmp_path) as b:
        shortage.left = 3
        b.connect().close()
        assert await b.serves()
        assert not shortage.left
        assert b.journal.events.count("accept_paused") == 1


@pytest.mark.parametrize("limits", LIMITS)
async def test_a_refused_connection_counts_until_it_is_closed(limits: str, tmp_path: Path) -> None:
    """Otherwise one address could hold any number of refused connections."""
    async with bed(tmp_path, limits) as b:
        with b.connect() as sock:
            assert await b.served(sock)
            assert not await b.serves()
        while not await b.serves():
            await turns()


class Broken:
    """An association in which everything fails."""

    address = _requestor = None
    guarded = Association.guarded

    def tick(self, now: float) -> None:
        raise RuntimeError("tick")

    def end(self, end: AssociationEnd, *, at_once: bool = False) -> None:
        raise RuntimeError("end")

    def crashed(self, leg: Leg, error: Exception) -> None:
        assert isinstance(error, RuntimeError)

    def drop(self) -> None:
        """The worker stops."""


class Sound(Broken):
    """An association in which nothing fails."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def tick(self, now: float) -> None:
        self.told.append("tick")

    def end(self, end: AssociationEnd, *, at_once: bool = False) -> None:
        self.told.append("end")


async def test_one_association_cannot_keep_the_others_from_their_tick_and_their_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TICK", 0.01)
    async with bed(tmp_path) as b:
        sound = [Sound() for _ in range(8)]
        both: Any = [*sound, *(Broken() for _ in range(8))]  # a set: some come after a broken one
        b.worker._established |= set(both)
        b.worker._connections |= set(both)
        while not all(one.told.count("tick") > 1 for one in sound):
            await turns()
        b.worker._end_all(AssociationEnd(Ended.DRAINED), at_once=False)
        assert all(one.told[-1] == "end" for one in sound)
        b.worker._established.clear()
        b.worker._connections.clear()


class Slow(Sound):
    """An association whose request takes long to judge again; the second configuration refuses it."""

    def __init__(self, listener: Any, clock: list[float]) -> None:
        super().__init__()
        self.listener, self.clock, self.decided = listener, clock, 0

    def decide_again(self, listener: Any, tls: Any) -> str | None:
        self.decided += 1
        self.clock[0] += 0.1
        return "refused" if self.decided == 2 else None


async def test_others_are_served_while_many_associations_are_decided_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bed(tmp_path) as b:
        clock = [0.0]
        monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
        [listener] = b.worker.station.config.listeners
        all_of_them: Any = [Slow(listener, clock) for _ in range(8)]

        def decided() -> int:
            return sum(one.decided for one in all_of_them)

        b.worker._established |= set(all_of_them)
        first = asyncio.ensure_future(b.worker.recheck(b.worker.station.config, {}))
        await turns(2)
        assert decided() == 2
        for one in all_of_them:
            one.decided = 1
        second = asyncio.ensure_future(b.worker.recheck(b.worker.station.config, {}))
        await turns(4)
        assert first.done() and decided() < 2 * len(all_of_them)
        gone = next(one for one in all_of_them if one.decided == 1)
        b.worker._established.discard(gone)
        await second
        assert gone.decided == 1
        assert all(one.told[-1:] == ["end"] for one in all_of_them if one is not gone)
        b.worker._established.clear()
