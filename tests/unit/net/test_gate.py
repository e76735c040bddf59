"""The gate of a worker that is ahead: the others get their turns, and no connection waits for one that hangs."""

import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.net.gate import Gate
from proxy.net.poller import IN

PATIENCE = 10  # turns of 2 ms


class Bed:
    """A gate on a real listening socket, of a worker that is `ahead`; its timers run when `offer` needs them."""

    def __init__(self) -> None:
        self.ahead = True
        self.full = False  # every connection is refused
        self._accepted = 0
        self._timers: list[Callable[[], None]] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._clients: list[socket.socket] = []
        station: Any = SimpleNamespace(
            poller=SimpleNamespace(register=lambda *_: None, unregister=lambda *_: None),
            loop=SimpleNamespace(call_later=lambda _, callback: self._timers.append(callback)),
            counts=SimpleNamespace(ahead=lambda: self.ahead, connections=0),
        )
        self._counts = station.counts
        self.gate = Gate(self, station, cast(Any, None), self._listening)
        self.gate.open()

    def accepted(self, listener: object, connection: socket.socket, peer: object) -> None:
        self._accepted += 1
        self._counts.connections += not self.full
        connection.close()

    def connect(self) -> None:
        self._clients.append(socket.create_connection(self._listening.getsockname()))

    def turns_of_others(self) -> int:
        """Return how many turns the other workers get, while none takes the connection, before the gate does."""
        self.connect()
        before, turns = self._accepted, 0
        self.gate.ready(IN)
        while self._accepted == before:
            turns += 1
            self._timers.pop()()
            self.gate.ready(IN)
        return turns

    def event(self) -> int:
        """Return how many connections the gate takes from the queue for one event."""
        before = self._accepted
        self.gate.ready(IN)
        return self._accepted - before

    def another_takes_one(self) -> None:
        """Let another worker take a connection in the first turn of the others."""
        self.connect()
        before = self._accepted
        self.gate.ready(IN)
        self._listening.accept()[0].close()
        self._timers.pop()()
        assert self._accepted == before

    def close(self) -> None:
        self.gate.close()
        for sock in self._clients:
            sock.close()


@pytest.fixture
def bed() -> Iterator[Bed]:
    bed = Bed()
    yield bed
    bed.close()


def test_a_worker_that_is_not_ahead_accepts_at_once(bed: Bed) -> None:
    bed.ahead = False
    assert [bed.turns_of_others() for _ in range(3)] == [0, 0, 0]


def test_a_connection_that_another_took_does_not_count_against_the_next(bed: Bed) -> None:
    for _ in range(5):
        bed.another_takes_one()
    assert bed.turns_of_others() == PATIENCE


def test_a_busy_worker_has_more_than_one_turn_and_one_that_hangs_has_one(bed: Bed) -> None:
    assert [bed.turns_of_others() for _ in range(4)] == [PATIENCE, 1, 1, 1]
    bed.another_takes_one()
    assert bed.turns_of_others() == PATIENCE


def test_one_event_lets_in_one_connection_and_refused_ones_do_not_count(bed: Bed) -> None:
    bed.ahead = False
    for _ in range(50):
        bed.connect()
    assert bed.event() == 1
    bed.full = True
    assert bed.event() == 32
    assert bed.event() == 50 - 33


def test_a_gate_that_was_closed_meanwhile_stays_closed(bed: Bed) -> None:
    bed.connect()
    bed.gate.ready(IN)
    bed.gate.close()
    bed._timers.pop()()
    assert not bed.gate._open
