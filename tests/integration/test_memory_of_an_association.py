"""The memory of an idle association, before and after it has carried 16 MiB each way."""

from collections.abc import Callable

import pytest

from tests.support.client import associate, client_context, connect
from tests.support.flood import Reader, Sender
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, mirror
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.wire import Wire

pytestmark = pytest.mark.slow

LIMITS = {"connections_per_address": 2000, "handshakes_per_address": 2000}
CARRIED = 16 * 1024 * 1024


def open_associations(gateway: Gateway, count: int) -> list[Wire]:
    context = client_context()
    return [associate(connect(port_of(gateway.config), context)) for _ in range(count)]


def carry(wires: list[Wire]) -> None:
    """16 MiB each way on each, one after the other."""
    for number, wire in enumerate(wires):
        sender, reader = Sender(wire, CARRIED, salt=number), Reader(wire, CARRIED)
        sender.start()
        reader.start()
        sender.join()
        reader.join()
        assert sender.digest == reader.digest


def warm_up(gateway: Gateway) -> None:
    """Use the process once: memory that is allocated only once does not belong to an association."""
    wires = open_associations(gateway, 20)
    carry(wires[:2])
    for wire in wires:
        wire.close()
    until(lambda: gateway.metric("connections_active") == 0, "all connections are closed")


@pytest.mark.parametrize(
    ("out", "count", "carries", "limit_kib"),
    [
        ("plain", 500, False, 24),
        ("plain", 50, True, 180),
        ("TLS", 500, False, 48),
        ("TLS", 50, True, 360),
        ("mutual TLS, tickets", 500, False, 64),
    ],
)
def test_an_association_costs_little(
    out: str, count: int, carries: bool, limit_kib: int, site: Site, start_gateway: Callable[..., Gateway]
) -> None:
    """TLS on both legs costs as much as one TLS leg, twice.

    Two certificates weigh 6 KiB more. In TLS 1.3 a client cannot decline session tickets, and OpenSSL keeps the 16 KiB
    that it has read them into.
    """
    server, mutual = None, out.startswith("mutual")
    if out != "plain":
        server = site.server_context(client_ca=mutual)
        server.num_tickets = 2 if mutual else 0
    with Pacs(mirror, tls=server) as pacs:
        upstream = pacs.port if server is None else site.upstream(pacs.port, client="ct1" if mutual else None)
        gateway = start_gateway(site.one_tenant(upstream, limits=LIMITS))
        warm_up(gateway)
        before = gateway.rss_kib()
        wires = open_associations(gateway, count)
        if carries:
            carry(wires)
        each = (gateway.rss_kib() - before) / count
        assert gateway.metric("associations_active") == count
        for wire in wires:
            wire.close()
    assert each <= limit_kib, f"{each:.1f} KiB each"
