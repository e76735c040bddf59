"""The relay over real TCP connections on loopback: what each side sees of every way in which an association ends."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from proxy.net.leg import Leg
from proxy.net.poller import Poller
from proxy.net.relay import Relay
from proxy.net.tcp import tune
from proxy.pdu import encode_abort, encode_associate_rq, encode_p_data, encode_release_rp, encode_release_rq
from proxy.policy import Ended, Reason

CLOSE = 0.3  # timeouts.close
ABORT = encode_abort(2, 0)
DATA = encode_p_data(1, 2, b"d" * 1000)
RQ, RP = encode_release_rq(), encode_release_rp()


class Outcome:
    """What the relay tells its association."""

    def __init__(self) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self.paused = asyncio.Event()
        self.pauses: list[str] = []

    def relay_paused(self, side: str) -> None:
        self.pauses.append(side)
        self.paused.set()

    def relay_ended(self, ended: Ended, reason: Reason | None, detail: str) -> None:
        self.ended.set_result((ended, reason, detail))


class Bed:
    """A relay, and the far ends of its two legs."""

    def __init__(self, relay: Relay, outcome: Outcome, requestor: socket.socket, upstream: socket.socket) -> None:
        self.relay = relay
        self.outcome = outcome
        self.requestor = requestor
        self.upstream = upstream

    async def send(self, sock: socket.socket, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(sock, data)

    async def receive(self, sock: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = await asyncio.get_running_loop().sock_recv(sock, size - len(data))
            if not chunk:
                break
            data += chunk
        return data

    async def rest(self, sock: socket.socket) -> bytes | str:
        """What comes until the end; with " RST" where it ends by one."""
        data = b""
        while True:
            try:
                chunk = await asyncio.get_running_loop().sock_recv(sock, 65536)
            except ConnectionResetError:
                return f"{len(data)} bytes, RST"
            if not chunk:
                return data
            data += chunk

    async def ended(self) -> tuple[Ended, Reason | None]:
        ended, reason, _ = await self.outcome.ended
        return ended, reason


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        far = socket.create_connection(server.getsockname())
        near, _ = server.accept()
    near.setblocking(False)
    far.setblocking(False)
    tune(near, 60)
    return near, far


@contextlib.asynccontextmanager
async def bed() -> AsyncIterator[Bed]:
    loop = asyncio.get_running_loop()
    poller = Poller(loop)
    outcome = Outcome()
    (near_requestor, requestor), (near_upstream, upstream) = _tcp_pair(), _tcp_pair()
    legs = [Leg(sock, poller, None) for sock in (near_requestor, near_upstream)]  # type: ignore[arg-type]
    relay = Relay(outcome, *legs, frozenset({1}), loop=loop, close_timeout=CLOSE, unacknowledged=60)
    relay.start(b"", b"")
    try:
        yield Bed(relay, outcome, requestor, upstream)
        assert all(leg.closed for leg in legs)
        assert not len(poller)
    finally:
        for leg in legs:
            leg.close()
        poller.close()
        requestor.close()
        upstream.close()


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await scenario()

    asyncio.run(bounded())


def test_a_release_ends_it_with_fins() -> None:
    async def scenario() -> None:
        async with bed() as b:
            await b.send(b.requestor, DATA + RQ)
            assert await b.receive(b.upstream, len(DATA + RQ)) == DATA + RQ
            await b.send(b.upstream, DATA + RP)
            assert await b.receive(b.requestor, len(DATA + RP)) == DATA + RP
            b.requestor.close()
            assert await b.rest(b.upstream) == b""
            b.upstream.close()
            assert await b.ended() == (Ended.RELEASED, None)

    run(scenario)


def test_a_sender_that_closes_behind_its_release_request_was_released() -> None:
    async def scenario() -> None:
        async with bed() as b:
            await b.send(b.requestor, RQ)
            b.requestor.shutdown(socket.SHUT_WR)
            assert await b.rest(b.upstream) == RQ
            await b.send(b.upstream, DATA + RP)
            assert await b.receive(b.requestor, len(DATA + RP)) == DATA + RP, "the answer still has the way back"
            b.upstream.close()
            assert await b.rest(b.requestor) == b""
            assert await b.ended() == (Ended.RELEASED, None)

    run(scenario)


def test_nobody_closes_after_a_release() -> None:
    async def scenario() -> None:
        async with bed() as b:
            await b.send(b.requestor, RQ)
            await b.receive(b.upstream, len(RQ))
            await b.send(b.upstream, RP)
            assert await b.rest(b.requestor) == RP
            assert await b.rest(b.upstream) == b""
            assert await b.ended() == (Ended.RELEASED, None)

    run(scenario)


@pytest.mark.parametrize("side", ["requestor", "upstream"])
def test_an_abort_passes_and_ends_it(side: str) -> None:
    async def scenario() -> None:
        async with bed() as b:
            from_, to = (b.requestor, b.upstream) if side == "requestor" else (b.upstream, b.requestor)
            await b.send(from_, DATA + encode_abort(0, 0))
            assert await b.rest(to) == DATA + encode_abort(0, 0)
            to.close()
            assert await b.rest(from_) == b""
            from_.close()
            ended, _ = await b.ended()
            assert ended is (Ended.ABORTED_BY_REQUESTOR if side == "requestor" else Ended.ABORTED_BY_UPSTREAM)

    run(scenario)


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("side", ["requestor", "upstream"])
def test_a_leg_lost_between_pdus_makes_an_abort_for_the_other(side: str, how: str) -> None:
    async def scenario() -> None:
        async with bed() as b:
            dying, other = (b.requestor, b.upstream) if side == "requestor" else (b.upstream, b.requestor)
            await b.send(dying, DATA)
            assert await b.receive(other, len(DATA)) == DATA
            if how == "RST":
                reset(dying)
            else:
                dying.close()
            assert await b.rest(other) == ABORT
            other.close()
            ended, _ = await b.ended()
            assert ended is (Ended.REQUESTOR_LOST if side == "requestor" else Ended.UPSTREAM_LOST)

    run(scenario)


@pytest.mark.parametrize("missing", [1, 2, 3, 5, 8, 10, 500])
@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("side", ["requestor", "upstream"])
def test_a_leg_lost_inside_a_pdu_resets_the_other(side: str, how: str, missing: int) -> None:
    async def scenario() -> None:
        async with bed() as b:
            dying, other = (b.requestor, b.upstream) if side == "requestor" else (b.upstream, b.requestor)
            await b.send(dying, DATA + DATA[:-missing])
            assert await b.receive(other, len(DATA)) == DATA
            assert await b.receive(other, len(DATA) - missing) == DATA[:-missing]
            if how == "RST":
                reset(dying)
            else:
                dying.close()
            assert await b.rest(other) == "0 bytes, RST"
            await b.ended()

    run(scenario)


def test_a_leg_lost_inside_a_header_gives_nothing_of_it_away() -> None:
    async def scenario() -> None:
        async with bed() as b:
            await b.send(b.requestor, DATA + DATA[:11])
            b.requestor.close()
            assert await b.rest(b.upstream) == DATA + ABORT
            b.upstream.close()
            assert await b.ended() == (Ended.REQUESTOR_LOST, None)

    run(scenario)


def test_all_that_was_received_is_delivered_before_the_reset() -> None:
    wire = DATA * 20_000 + DATA[:-7]  # more than the kernel holds of both connections

    async def scenario() -> None:
        async with bed() as b:
            sending = asyncio.ensure_future(b.send(b.requestor, wire))
            await b.outcome.paused.wait()  # the upstream reads nothing yet
            assert b.outcome.pauses[0] == "client"
            received = await b.receive(b.upstream, len(wire) - 100_000)
            await sending
            b.requestor.close()
            received += await b.receive(b.upstream, 100_000)
            assert received == wire
            assert await b.rest(b.upstream) == "0 bytes, RST"
            assert await b.ended() == (Ended.REQUESTOR_LOST, None)

    run(scenario)


def test_a_reset_is_noticed_although_the_reader_is_paused() -> None:
    async def scenario() -> None:
        async with bed() as b:
            sending = asyncio.ensure_future(b.send(b.requestor, DATA * 20_000))
            await b.outcome.paused.wait()
            reset(b.upstream)
            await asyncio.wait([sending])
            assert await b.rest(b.requestor) == ABORT
            b.requestor.close()
            assert await b.ended() == (Ended.UPSTREAM_LOST, None)

    run(scenario)


def test_a_violation_aborts_both_and_forwards_what_was_valid() -> None:
    async def scenario() -> None:
        async with bed() as b:
            await b.send(b.requestor, DATA + encode_associate_rq("A", "B", []))
            assert await b.rest(b.upstream) == DATA + encode_abort(2, 2)
            b.upstream.close()
            assert await b.rest(b.requestor) == encode_abort(2, 2)
            b.requestor.close()
            assert await b.ended() == (Ended.ABORTED_BY_GATEWAY, Reason.PDU_UNEXPECTED)

    run(scenario)


def test_a_violation_inside_a_pdu_resets_the_upstream() -> None:
    async def scenario() -> None:
        async with bed() as b:
            good, bad = encode_p_data(1, 2, b"x" * 50)[6:], encode_p_data(9, 2, b"y" * 50)[6:]
            wire = b"\x04\x00" + (len(good) + len(bad)).to_bytes(4, "big") + good + bad
            await b.send(b.requestor, wire)
            assert await b.rest(b.requestor) == encode_abort(2, 6)
            assert await b.rest(b.upstream) in ("62 bytes, RST", f"{6 + len(good)} bytes, RST")
            b.requestor.close()
            assert await b.ended() == (Ended.ABORTED_BY_GATEWAY, Reason.PDU_INVALID)

    run(scenario)


def test_an_abort_of_ours_waits_for_the_boundary_of_each_leg() -> None:
    async def scenario() -> None:
        async with bed() as b:
            await b.send(b.requestor, DATA[:300])
            assert await b.receive(b.upstream, 300) == DATA[:300]
            b.relay.abort(Ended.DISCONNECTED, Reason.DISCONNECTED, "by an operator")
            assert await b.rest(b.requestor) == ABORT
            await b.send(b.requestor, DATA[300:] + DATA)
            assert await b.rest(b.upstream) == DATA[300:] + ABORT, "to the boundary and no further"
            b.upstream.close()
            b.requestor.close()
            assert await b.ended() == (Ended.DISCONNECTED, Reason.DISCONNECTED)

    run(scenario)


def test_an_abort_of_ours_resets_where_no_boundary_comes() -> None:
    async def scenario() -> None:
        async with bed() as b:
            await b.send(b.requestor, DATA[:300])
            assert await b.receive(b.upstream, 300) == DATA[:300]
            b.relay.abort(Ended.TIMEOUT, None, "idle")
            assert await b.rest(b.requestor) == ABORT
            assert await b.rest(b.upstream) == "0 bytes, RST"
            b.requestor.close()
            assert await b.ended() == (Ended.TIMEOUT, None)

    run(scenario)


def test_half_closed_upstream_delivers_its_last_response() -> None:
    async def scenario() -> None:
        async with bed() as b:
            await b.send(b.upstream, DATA)
            b.upstream.shutdown(socket.SHUT_WR)
            assert await b.rest(b.requestor) == DATA + ABORT
            b.requestor.close()
            assert await b.ended() == (Ended.UPSTREAM_LOST, None)

    run(scenario)


def test_an_exception_ends_one_association_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        reports: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        async with bed() as b:
            monkeypatch.setattr(type(b.relay.to_upstream), "feed", lambda *_: 1 // 0)
            await b.send(b.requestor, DATA)
            assert await b.rest(b.requestor) == "0 bytes, RST"
            assert await b.ended() == (Ended.ABORTED_BY_GATEWAY, Reason.INTERNAL)
            assert len(reports) == 1

    run(scenario)
