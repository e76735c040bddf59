"""Row 135: far more full handshakes with client certificates than there is CPU for, beside established transfers."""

import time
from collections.abc import Callable

import pytest

from tests.support.archive import Archive
from tests.support.attempts import echo_once
from tests.support.client import client_context
from tests.support.gateway import Gateway
from tests.support.loads import handshakes, hellos, load, stores
from tests.support.pacs import Pacs
from tests.support.processes import until
from tests.support.quantiles import Quantiles
from tests.support.site import Site, port_of
from tests.support.soak import scaled

pytestmark = pytest.mark.slow

SECONDS = scaled(2, 30)
SENDERS, EACH_SECOND, SIZE = 4, 10.0, 256 * 1024  # 10 MiB/s in all: the line of the site, not our limit
RATE = 4_000  # handshakes begun each second: two cores do less than a thousand
STRANGERS = [f"127.9.0.{number}" for number in range(1, 5)]  # clients that never finish their part
DEVICES, AT_ONCE = ["127.9.1.1", "127.9.1.2"], 24  # clients that have a certificate
KEPT = scaled(0.6, 0.8)  # of the throughput; the storm's own processes take their share of the CPU


def test_row_135_transfers_go_on(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    auth = {"mode": "required", "ca": str(site.path("ca.pem"))}
    pair = (site.path("ct1.pem"), site.path("ct1.key"))
    with Pacs(Archive()) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port, workers=2, tls={"client_auth": auth}))
        port = port_of(gateway.config)
        context = client_context(certificate=pair)

        def throughput(meanwhile: Callable[[], object] = lambda: time.sleep(SECONDS)) -> float:
            """Bytes a second that the PACS gets."""
            before, began = sum(visit.size for visit in pacs.visits), time.monotonic()
            while time.monotonic() < began + SECONDS:
                meanwhile()
            return (sum(visit.size for visit in pacs.visits) - before) / (time.monotonic() - began)

        with load(stores, port, SENDERS, EACH_SECOND, SIZE, pair) as senders:
            until(lambda: gateway.metric("associations_active") == SENDERS, "the senders stand")
            quiet = throughput()
            with (
                load(hellos, port, STRANGERS, RATE) as storm,
                load(handshakes, port, DEVICES, RATE, AT_ONCE, pair) as devices,
            ):
                took: list[float] = []
                beside = throughput(lambda: took.append(echo_once(port, context)))
                counts, done = storm.end(), devices.end()
            assert senders.end() > 0
        print(
            f"C-ECHO {Quantiles(took)}; "
            f"{quiet / 2**20:.1f} MiB/s, beside the storm {beside / 2**20:.1f} MiB/s; {dict(counts)}, {dict(done)}"
        )
        assert quiet > 0.8 * SENDERS * EACH_SECOND * SIZE
        assert beside > KEPT * quiet
        assert counts["opened"] > scaled(0.2, 0.8) * RATE * SECONDS, counts
        assert done["done"] > 0 and done["refused"] == 0, done
        assert gateway.metric("connections_rejected_total", reason="address_limit") > counts["opened"] / 2
        until(lambda: gateway.metric("connections_active") == 0, "all connections are closed")
