"""One side of an association, over a real TCP connection on loopback."""

import asyncio
import fcntl
import socket
import struct
import termios
from typing import Any

import pytest

from proxy.net import leg as module
from proxy.net.leg import Leg
from proxy.net.poller import Poller
from proxy.tls.endpoint import RECORD
from tests.unit.net.relay_bed import tcp_pair
from tests.unit.tls.test_endpoint import connected


@pytest.mark.parametrize("at_once", [True, False], ids=["by reading", "by the owner"])
async def test_a_read_that_does_not_fill_its_buffer_is_acknowledged(
    at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender of more is acknowledged by TCP's own rules, and its next bytes are there already."""
    asked: list[object] = []
    monkeypatch.setattr(module, "acknowledge_promptly", asked.append)
    monkeypatch.setattr(module, "_PLAIN_END", module._HEADROOM + 1000)
    poller = Poller(asyncio.get_running_loop())
    near, far = tcp_pair()
    no_owner: Any = None
    leg = Leg(near, poller, no_owner)
    leg.acknowledges = at_once
    found = []
    with far:
        far.send(bytes(2500))
        for _ in range(4):
            size = len(leg.receive())
            if not at_once:
                leg.acknowledge()
            found.append((size, len(asked)))
    leg.close()
    poller.close()
    # The owner asks for an ACK even if nothing came: the sender may hold back the bytes that it waits for.
    assert found == [(1000, 0), (1000, 0), (500, 1), (0, 1 if at_once else 2)]


LITTLE = 4 * 1024


def unread(sock: socket.socket) -> int:
    """Return how many bytes wait in a socket."""
    return int(struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0])


async def test_only_bulk_data_on_an_association_is_read_in_large_pieces() -> None:
    """KeyUpdates and tiny records carry little data and cost a thousand times as much to read."""
    poller = Poller(asyncio.get_running_loop())
    near, far = tcp_pair()
    no_owner: Any = None
    leg = Leg(near, poller, no_owner)
    leg.tls, sender = connected()

    def read(records: int, size: int) -> list[int]:
        """Return how many wire bytes each read takes when `records` records of `size` bytes have come."""
        wire = b""
        for _ in range(records):
            sender.encrypt(memoryview(bytes(size)))
            wire += sender.output()
        far.sendall(wire)
        taken = []
        while before := unread(near):
            leg.receive()
            taken.append(before - unread(near))
        return taken

    with far:
        assert max(read(4, RECORD)) <= LITTLE
        leg.associated = True
        assert max(read(4, RECORD)[5:]) > 2 * RECORD
        read(100, 1)
        assert max(read(2000, 1)) <= LITTLE
    leg.close()
    poller.close()
