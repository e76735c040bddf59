"""Readiness of many descriptors: one turn of the event loop is bounded, and each descriptor gets its turn."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from proxy.net import poller
from proxy.net.poller import EVENTS_PER_TURN, IN, LONGEST_TURN, Poller


class Loop:
    """An event loop that makes a turn when the test calls `turn`."""

    def add_reader(self, descriptor: int, turn: Any) -> None:
        self.turn = turn

    def remove_reader(self, descriptor: int) -> None:
        pass


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Ready:
    """A handler that is always ready; each call takes `seconds`."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds, self.calls = clock, seconds, 0

    def ready(self, mask: int) -> None:
        self.calls += 1
        self.clock.now += self.seconds

    def crashed(self, error: Exception) -> None:
        raise error


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(poller, "monotonic", clock)
    return clock


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def watched(watching: Poller, sockets: ExitStack, handler: Ready) -> Ready:
    ours, theirs = socket.socketpair()
    sockets.enter_context(ours)
    sockets.enter_context(theirs)
    theirs.send(b".")
    watching.register(ours.fileno(), IN, handler)
    return handler


def test_slow_handlers_do_not_starve_the_others(clock: Clock, sockets: ExitStack) -> None:
    loop: Any = Loop()
    watching = Poller(loop)
    sockets.callback(watching.close)
    slow = [watched(watching, sockets, Ready(clock, 0.4)) for _ in range(10)]
    quick = [watched(watching, sockets, Ready(clock, 0.0)) for _ in range(10)]
    for _ in range(3 * len(slow)):
        began = clock.now
        loop.turn()
        assert clock.now - began < LONGEST_TURN + 0.4
    assert min(one.calls for one in quick) >= 2
    assert max(one.calls for one in slow) <= 4


def test_quick_handlers_share_a_turn(clock: Clock, sockets: ExitStack) -> None:
    loop: Any = Loop()
    watching = Poller(loop)
    sockets.callback(watching.close)
    watched(watching, sockets, Ready(clock, 1.0))
    quick = [watched(watching, sockets, Ready(clock, 0.0)) for _ in range(EVENTS_PER_TURN)]
    for _ in range(20):
        loop.turn()
    assert min(one.calls for one in quick) >= 9


def test_an_event_left_over_is_forgotten_with_its_descriptor(clock: Clock, sockets: ExitStack) -> None:
    """The next socket with the same number must not get it."""
    loop: Any = Loop()
    watching = Poller(loop)
    sockets.callback(watching.close)
    watched(watching, sockets, Ready(clock, 1.0))
    left = watched(watching, sockets, Ready(clock, 0.0))
    loop.turn()
    assert left.calls == 0
    [descriptor] = (number for number, handler in watching._handlers.items() if handler is left)
    watching.unregister(descriptor)
    silent, other = socket.socketpair()
    sockets.enter_context(silent)
    sockets.enter_context(other)
    os.dup2(silent.fileno(), descriptor)
    watching.register(descriptor, IN, another := Ready(clock, 0.0))
    loop.turn()
    assert another.calls == 0
