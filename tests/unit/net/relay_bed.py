"""A relay between two real TCP connections on loopback, whose far ends a test holds."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

from proxy.dimse.inspection import RefusedCommand
from proxy.net.association_end import AssociationEnd, Side
from proxy.net.leg import Leg
from proxy.net.poller import Poller
from proxy.net.relay import Relay
from proxy.net.tcp import tune
from proxy.policy import Ended, Reason
from tests.support.messages import EVERY_REQUEST, inspection

CLOSE = 0.3  # timeouts.close


class Owner:
    """The association of a relay: keeps the reports of the relay."""

    def __init__(self) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self.paused = asyncio.Event()
        self.pauses: list[Side] = []
        self.refused: list[RefusedCommand] = []
        self._refusal = asyncio.Event()

    def relay_paused(self, side: Side) -> None:
        self.pauses.append(side)
        self.paused.set()

    def relay_refused(self, refused: RefusedCommand) -> None:
        self.refused.append(refused)
        self._refusal.set()

    async def refused_as_often(self, count: int) -> None:
        while len(self.refused) < count:
            self._refusal.clear()
            await self._refusal.wait()

    def relay_ended(self, end: AssociationEnd) -> None:
        self.ended.set_result(end)


class Bed:
    """A relay, and the far ends of its two legs."""

    def __init__(self, relay: Relay, owner: Owner, requestor: socket.socket, upstream: socket.socket) -> None:
        self.relay = relay
        self.owner = owner
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
        """Return the bytes until EOF, or how many came before a RST."""
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
        end = await self.owner.ended
        return end.ended, end.reason


def tcp_pair(far_buffer: int | None = None) -> tuple[socket.socket, socket.socket]:
    """Return the near and the far end of a connection. `far_buffer`: bytes that the far end takes unread."""
    far = socket.socket()
    if far_buffer is not None:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, far_buffer)
    with socket.create_server(("127.0.0.1", 0)) as server:
        far.connect(server.getsockname())
        near, _ = server.accept()
    near.setblocking(False)
    far.setblocking(False)
    tune(near, 60)
    return near, far


@contextlib.asynccontextmanager
async def bed(
    after_answer: bytes = b"", *, requestor_reads: bool = True, rules: frozenset[int] = EVERY_REQUEST
) -> AsyncIterator[Bed]:
    """Start a relay. `after_answer`: the bytes that the upstream sent after its A-ASSOCIATE-AC.

    `requestor_reads` False: the requestor reads nothing, and its buffers are full. At the end both legs must be closed
    and forgotten by the poller.
    """
    loop = asyncio.get_running_loop()
    poller = Poller(loop)
    owner = Owner()
    (near_requestor, requestor), (near_upstream, upstream) = tcp_pair(None if requestor_reads else 1), tcp_pair()
    legs = [Leg(sock, poller, None) for sock in (near_requestor, near_upstream)]  # type: ignore[arg-type]
    relay = Relay(
        owner,
        *legs,
        frozenset({1}),
        inspection(rules, rules),
        longest_to_requestor=16384,
        longest_to_upstream=16384,
        asynchronous=False,
        loop=loop,
        close_timeout=CLOSE,
        unacknowledged=60,
    )
    if not requestor_reads:
        fill(legs[0])
    relay.start(b"", after_answer)
    try:
        yield Bed(relay, owner, requestor, upstream)
        assert all(leg.closed for leg in legs)
        assert not len(poller)
    finally:
        for leg in legs:
            leg.close()
        poller.close()
        requestor.close()
        upstream.close()


def fill(leg: Leg) -> None:
    """Send until the peer, which does not read, takes no more."""
    while leg.send(bytes(200_000)):
        pass


async def turns(count: int = 20) -> None:
    """Give the event loop `count` turns."""
    for _ in range(count):
        await asyncio.sleep(0)


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
