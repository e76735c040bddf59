"""The end of a leg: at EOF of its peer or at a deadline, without a RST after an answer and without a busy wait."""

import asyncio
import heapq
import itertools
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from proxy.net.leg import Leg
from proxy.net.linger import linger, reset_when_delivered
from proxy.net.poller import Poller
from proxy.tls.endpoint import TlsEndpoint
from proxy.tls.memory_file import load_key_pair
from tests.support import certs, tls_pair
from tests.unit.net.relay_bed import tcp_pair, turns

CLOSE = 5.0
UNACKNOWLEDGED = 600.0


class Timer:
    """The handle that `call_later` returns."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Clock:
    """An event loop that has nothing but timers and a time of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.fired = 0
        self.reports: list[dict[str, Any]] = []
        self._serial = itertools.count()
        self._timers: list[tuple[float, int, Timer]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(callback)
        heapq.heappush(self._timers, (self.now + delay, next(self._serial), timer))
        return timer

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.reports.append(context)

    def run_until(self, end: float) -> None:
        """Fire the timers due up to `end`. Fails if each timer starts another at once."""
        while self._timers and self._timers[0][0] <= end:
            self.now, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                self.fired += 1
                assert self.fired < 10_000, "a busy wait"
                timer.callback()
        self.now = end


class Stub:
    """A leg whose peer acknowledges nothing, until `undelivered_bytes` says otherwise."""

    owner: Any = None
    finished = closed = wire_eof = eof = was_reset = False
    lost = None
    undelivered_bytes = 100

    def finish(self) -> None:
        self.finished = True

    def discard(self) -> None:
        pass

    def set_reading(self, reading: bool) -> None:
        pass

    def receive_raw(self) -> bytes:
        return b""

    def undelivered(self) -> int:
        return self.undelivered_bytes

    def close(self, *, reset: bool = False) -> None:
        self.closed = True
        self.was_reset = reset


class Ending:
    """A leg that is being closed, on a clock of its own. `ends`: how often its end was reported."""

    def __init__(self, timeout: float = CLOSE, unacknowledged: float = UNACKNOWLEDGED, *, by_reset: bool) -> None:
        self.clock = Clock()
        self.leg = Stub()
        self.ends = 0
        loop: Any = self.clock
        leg: Any = self.leg
        if by_reset:
            reset_when_delivered(leg, loop, unacknowledged, self._ended)
        else:
            linger(leg, loop, timeout, unacknowledged, self._ended)

    def _ended(self) -> None:
        self.ends += 1


@pytest.mark.parametrize("by_reset", [False, True], ids=["linger", "reset"])
@pytest.mark.parametrize("timeout", [0.0, CLOSE])
def test_waiting_for_a_peer_that_acknowledges_nothing_is_no_busy_wait(timeout: float, by_reset: bool) -> None:
    ending = Ending(timeout, by_reset=by_reset)
    ending.clock.run_until(UNACKNOWLEDGED - 1)
    assert not ending.leg.closed
    assert ending.clock.fired < UNACKNOWLEDGED + 10, "at most one check a second"
    ending.clock.run_until(UNACKNOWLEDGED + CLOSE)
    assert ending.leg.closed
    assert ending.ends == 1


def test_a_delivered_answer_is_not_waited_for_beyond_the_timeout() -> None:
    ending = Ending(by_reset=False)
    ending.leg.undelivered_bytes = 0
    ending.clock.run_until(CLOSE - 0.1)
    assert not ending.leg.closed
    ending.clock.run_until(CLOSE)
    assert ending.leg.closed
    assert ending.ends == 1


def test_without_time_for_acknowledgements_the_timeout_closes() -> None:
    """As after a refusal. Otherwise a peer could delay the close by withholding acknowledgements."""
    ending = Ending(unacknowledged=0, by_reset=False)
    ending.clock.run_until(CLOSE)
    assert ending.leg.closed
    assert ending.ends == 1


def test_a_reset_comes_soon_after_the_delivery() -> None:
    ending = Ending(by_reset=True)
    ending.clock.run_until(100)
    assert not ending.leg.closed
    ending.leg.undelivered_bytes = 0
    ending.clock.run_until(101)
    assert ending.leg.was_reset
    assert ending.ends == 1


@pytest.mark.parametrize("by_reset", [False, True], ids=["linger", "reset"])
def test_a_bug_in_a_timer_closes_the_leg(by_reset: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing above a timer catches an exception: the association would stay counted for ever."""
    ending = Ending(by_reset=by_reset)
    monkeypatch.setattr(Stub, "undelivered", lambda _: 1 // 0)
    ending.clock.run_until(UNACKNOWLEDGED)
    assert ending.leg.closed
    assert ending.ends == 1
    assert [type(report["exception"]) for report in ending.clock.reports] == [ZeroDivisionError]


def secured() -> tuple[TlsEndpoint, TlsEndpoint]:
    """Return the server's and the client's endpoint after their handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    load_key_pair(context, tls_pair.key_pair(certs.self_signed("gateway")))
    server = TlsEndpoint(context, server_side=True)
    client = TlsEndpoint(tls_pair.client(), server_side=False)
    client.handshake(b"")
    server.handshake(client.output())
    client.handshake(server.output())
    server.handshake(client.output())
    return server, client


def garbage(client: TlsEndpoint) -> bytes:
    return b"\x17\x03\x03\x00\x40" + bytes(64)


def goodbye(client: TlsEndpoint) -> bytes:
    client.close()
    return client.output()


@pytest.mark.parametrize("last", [garbage, goodbye])
async def test_after_the_end_of_tls_the_leg_is_read_to_the_end_of_the_wire(
    last: Callable[[TlsEndpoint], bytes],
) -> None:
    """A close with unread input would be a RST, which destroys the alert that says what was wrong."""
    loop = asyncio.get_running_loop()
    poller = Poller(loop)
    near, far = tcp_pair()
    closed = asyncio.Event()
    try:
        leg = Leg(near, poller, None)  # type: ignore[arg-type]
        leg.tls, client = secured()
        far.setblocking(True)
        far.sendall(last(client))
        leg.receive()
        assert leg.eof
        assert not leg.wire_eof
        linger(leg, loop, UNACKNOWLEDGED, 0, closed.set)
        for _ in range(3):
            await loop.run_in_executor(None, far.sendall, bytes(200_000))
            await turns()
        assert not closed.is_set()
        far.shutdown(socket.SHUT_WR)
        await closed.wait()
        answer = b""
        while data := far.recv(4096):
            answer += data
        assert answer, "an alert or a close_notify"
    finally:
        far.close()
        poller.close()


@pytest.mark.parametrize("by_reset", [False, True], ids=["linger", "reset"])
def test_a_bug_that_cannot_even_be_reported_closes_the_leg(by_reset: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """If memory is short, the report of the failure fails next."""
    ending = Ending(by_reset=by_reset)

    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Stub, "undelivered", fail)
    monkeypatch.setattr(Clock, "call_exception_handler", fail)
    with pytest.raises(MemoryError):
        ending.clock.run_until(UNACKNOWLEDGED)
    assert ending.leg.closed
    assert ending.ends == 1
