"""Row 134: thousands of TCP connections a second from strangers; known senders are served as before."""

import time
from collections.abc import Callable

import pytest

from tests.support.archive import Archive
from tests.support.attempts import echo_once
from tests.support.client import client_context
from tests.support.gateway import Gateway
from tests.support.loads import connects, load
from tests.support.pacs import Pacs
from tests.support.processes import until
from tests.support.quantiles import Quantiles
from tests.support.site import Site, port_of
from tests.support.soak import scaled

pytestmark = pytest.mark.slow

RATE, SECONDS = 10_000, scaled(3, 60)
P99 = scaled(0.5, 0.1)  # seconds; two cores may be shared with much else
STRANGERS = ["127.9.0.1", "127.9.0.2"]  # one is let in up to its limit, one not at all
NETWORKS = ["127.0.0.0/16", "127.9.0.1/32"]


def test_row_134_allowed_peers_are_served(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    with Pacs(Archive()) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port, workers=2, listener={"networks": NETWORKS}))
        port = port_of(gateway.config)
        context = client_context()
        took: list[float] = []
        with load(connects, port, STRANGERS, RATE) as storm:
            over = time.monotonic() + SECONDS
            while time.monotonic() < over:
                took.append(echo_once(port, context))
            strangers = storm.end()
        found = Quantiles(took)
        print(f"{strangers['opened'] / SECONDS:.0f} connections/s, C-ECHO {found}")
        assert strangers["opened"] > scaled(0.2, 0.8) * RATE * SECONDS, strangers
        assert found.p99 < P99, found
        until(lambda: gateway.metric("connections_active") == 0, "all connections are closed")
        for reason in ("address_denied", "address_limit"):
            assert gateway.metric("connections_rejected_total", reason=reason) > strangers["opened"] / 4, reason
        assert gateway.metric("connections_total") == strangers["opened"] + len(took)
