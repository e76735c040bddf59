"""Row 137: thousands of associations, half of them stalled inside a PDU: every active one has its share."""

from collections.abc import Callable

import pytest

from proxy.pdu import PduType
from tests.bench import instances
from tests.bench.measure import Loader
from tests.support.archive import expect_success
from tests.support.client import client_context, connect, release
from tests.support.gateway import Gateway
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.soak import scaled

pytestmark = pytest.mark.slow

EACH = scaled(150, 2_500)  # stalled, and as many active
SECONDS = scaled(3, 60)
LIMITS = {"connections_per_address": 10_000, "handshakes_per_address": 1_000}


def test_row_137_active_ones_share_alike(site: Site, quick_pacs: int, start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway(site.one_tenant(quick_pacs, workers=2, called_aets=instances.CALLED, limits=LIMITS))
    port = port_of(gateway.config)
    context = client_context()
    message = b"".join(instances.STORE["STORE4K"].pdus)
    half = len(message) // 2  # inside a PDU
    stalled = []
    for _ in range(EACH):
        wire = connect(port, context)
        wire.send(instances.request("STORE4K"))
        assert wire.receive_pdu()[:1] == bytes([PduType.A_ASSOCIATE_AC])
        wire.send(message[:half])
        stalled.append(wire)
    active = Loader()
    try:
        active.begin("bulk", port, called="STORE4K", associations=EACH, seconds=SECONDS)
        assert gateway.metric("associations_active") == 2 * EACH
        active.start()
        each = active.result()["each"]
        active.end()
    finally:
        active.close()
    print(f"{sum(each) / SECONDS:.0f} instances/s, from {min(each)} to {max(each)} on each of {EACH} associations")
    assert min(each) > 0 and min(each) / max(each) >= 0.5
    for wire in stalled:
        wire.send(message[half:])  # what had stalled goes on
        expect_success(wire)
        release(wire)
    until(lambda: gateway.metric("connections_active") == 0, "all connections are closed")
