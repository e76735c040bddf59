"""Row 40, and for all rows: the memory of an association is freed when it ends, whatever the end."""

import time
from collections.abc import Callable

import pytest

from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import GIVEN_BACK
from tests.bad_inputs.hostile import Peer, TlsPeer, client
from tests.support import pdus
from tests.support.processes import until

ASSOCIATIONS = 300
MIB = 1 << 20


def reset(peer: Peer) -> None:
    peer.associate(pdus.associate_rq())
    peer.reset()


def release(peer: Peer) -> None:
    peer.associate(pdus.associate_rq())
    peer.release()


def refuse(peer: Peer) -> None:
    peer.send(b"\xff")
    peer.aborted()
    peer.close()


@pytest.mark.parametrize("end", [reset, release, refuse])
def test_row_040_ended_associations_leave_no_memory_behind(bed: Bed, end: Callable[[Peer], None]) -> None:
    """A TLS leg holds some 30 KiB outside Python's garbage collector: freeing them must not wait for it."""
    context = client(version="1.3")

    def some(count: int) -> None:
        for _ in range(count):
            peer = TlsPeer(bed.ports["tls"], bed.address(), context=context)
            assert peer.handshake()
            end(peer)

    some(ASSOCIATIONS)  # memory that is allocated only once: pools of the allocator, tables that fill up
    before = bed.rss_bytes()
    some(ASSOCIATIONS)
    until(lambda: bed.gateway.metric("connections_active") == 1, "all are closed", GIVEN_BACK)
    deadline = time.monotonic() + GIVEN_BACK
    while (grown := bed.rss_bytes() - before) >= 2 * MIB and time.monotonic() < deadline:
        time.sleep(0.05)
    assert grown < 2 * MIB, f"{grown // ASSOCIATIONS} bytes for each ended association"
