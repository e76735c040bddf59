"""Gigabytes each way at once, both readers slow at first: every byte arrives, and the gateway keeps almost none.

Row 138: a requestor that reads slowly throttles the PACS. Row 139: a slow PACS throttles the requestor. Over TLS to the
upstream one reader in turn does not read at all while the other direction flows.
"""

import threading
from collections.abc import Callable

import pytest

from tests.support.client import associate, client_context, connect
from tests.support.flood import Reader, Sender, whole_pdus
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, Visit
from tests.support.site import Site, port_of
from tests.support.soak import scaled

pytestmark = pytest.mark.slow

SIZE = scaled(2, 10) * 1024**3
SLOW = scaled(10.0, 60.0)  # seconds
CRAWL, STALL = 1024 * 1024, 1  # bytes a second
RECEIVE_BUFFER = 256 * 1024  # or the kernel would buffer megabytes and hide the slow reader
MAX_GROWTH_KIB = 16 * 1024
MAX_UNDER_WAY = 128 * 1024 * 1024  # in the socket buffers of the kernel, which holds tens of megabytes for each


def pairs(mine: list[Sender | Reader], theirs: list[Sender | Reader]) -> list[tuple[Sender, Reader]]:
    """Each sender with its reader at the other end; none before all have begun."""
    if len(theirs) < len(mine):
        return []
    return [(mine[0], theirs[1]), (theirs[0], mine[1])]  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("tls_out", "at_the_requestor", "at_the_upstream"),
    [(False, CRAWL, CRAWL), (True, STALL, CRAWL), (True, CRAWL, STALL)],
    ids=["plain out", "TLS out, the requestor stalls", "TLS out, the upstream stalls"],
)
def test_every_byte_arrives_and_memory_stays_flat(
    tls_out: bool, at_the_requestor: int, at_the_upstream: int, site: Site, start_gateway: Callable[..., Gateway]
) -> None:
    at_the_pacs: list[Sender | Reader] = []
    finished = threading.Event()

    def both_ways(visit: Visit) -> None:
        visit.accept()
        at_the_pacs.extend(
            (Sender(visit.wire, SIZE, salt=1), Reader(visit.wire, SIZE, slow=SLOW, rate=at_the_upstream))
        )
        for thread in at_the_pacs:
            thread.start()
        for thread in at_the_pacs:
            thread.join()
        finished.wait(60)

    server = site.server_context(client_ca=True) if tls_out else None
    with Pacs(both_ways, receive_buffer=RECEIVE_BUFFER, tls=server) as pacs:
        upstream = site.upstream(pacs.port, client="ct1") if tls_out else pacs.port
        gateway = start_gateway(site.one_tenant(upstream))
        context = client_context(site.path("ca.pem"))
        with connect(port_of(gateway.config), context, receive_buffer=RECEIVE_BUFFER) as wire:
            associate(wire)
            before = gateway.rss_kib()
            mine = [Sender(wire, SIZE, salt=2), Reader(wire, SIZE, slow=SLOW, rate=at_the_requestor)]
            for thread in mine:
                thread.start()
            highest, under_way = before, 0
            flows: list[tuple[Sender, Reader]] = []
            for thread in mine:
                while thread.is_alive():
                    thread.join(0.05)
                    highest = max(highest, gateway.rss_kib())
                    gateway.check_healthy()
                    flows = flows or pairs(mine, at_the_pacs)
                    under_way = max(under_way, *(sender.sent - reader.received for sender, reader in flows))
            for thread in at_the_pacs:
                thread.join(60)
            finished.set()
            wire.close()
    assert [thread.digest for thread in mine] == [thread.digest for thread in reversed(at_the_pacs)]
    assert all(thread.digest for thread in mine)
    assert flows and under_way < MAX_UNDER_WAY, f"{under_way} bytes were under way: nobody was throttled"
    growth = highest - before
    assert growth < MAX_GROWTH_KIB, f"RSS grew by {growth} KiB"
    record = gateway.wait_for_record()
    assert record["bytes_in"] >= whole_pdus(SIZE) and record["bytes_out"] >= whole_pdus(SIZE)
    assert gateway.metric("backpressure_pauses_total") > 0
