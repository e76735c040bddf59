"""Row 141: one address sends request after request under new titles, and the log sums them up once a second."""

import time
from collections.abc import Callable

import pytest

from tests.support.archive import Archive
from tests.support.gateway import Gateway
from tests.support.loads import load, rejects
from tests.support.pacs import Pacs
from tests.support.ports import free_port
from tests.support.processes import until
from tests.support.site import Site
from tests.support.slope import slope
from tests.support.soak import scaled

pytestmark = pytest.mark.slow

COUNT = scaled(4_000, 1_000_000)
TITLES = [f"STRANGER{number}" for number in range(5_000)]
BURST = 50  # lines of one address before its rate counts
GROWTH_KIB = 4_000
NOT_RECOGNIZED = "010103"  # A-ASSOCIATE-RJ 1/1/3: calling AE title not recognized (PS3.8 Table 9-21)


def test_row_141_the_log_is_bounded(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    port = free_port()
    with Pacs(Archive()) as pacs:
        config = site.one_tenant(pacs.port, workers=2, peers=[{"aet": "CT1", "allow": ["all"]}])
        config["listeners"]["plain"] = {"bind": [f"127.0.0.1:{port}"], "tenants": ["hospital"]}
        gateway = start_gateway(config)
        began = time.monotonic()
        samples = []
        with load(rejects, port, TITLES, COUNT) as stranger:

            def rejected() -> float:
                samples.append((time.monotonic() - began, float(gateway.rss_kib())))
                return gateway.metric("association_refusals_total", reason="calling_aet_unknown")

            until(lambda: rejected() >= COUNT, "all are rejected", 60 + COUNT / 100)
            assert stranger.end() == {NOT_RECOGNIZED: COUNT}
        seconds = time.monotonic() - began
        lines = len(gateway.records)
        grown = slope(samples[len(samples) // 4 :]) * seconds
        print(f"{COUNT / seconds:.0f} rejections/s, {lines} records in {seconds:.0f} s, memory {grown:+.0f} KiB")
        # One rate for each worker: each has its own buckets.
        assert lines <= 2 * (BURST + seconds + 1)
        assert pacs.dials == 0
        assert grown < GROWTH_KIB
        until(lambda: summed_up(gateway) == COUNT, "every rejection is in a record or in a sum", 30)
        with_title = {record["calling_aet"] for record in gateway.records}
        assert with_title <= set(TITLES)


def summed_up(gateway: Gateway) -> int:
    """Rejections that the log accounts for."""
    sums = [event["suppressed"] for event in gateway.events if event["event"] == "refusals_suppressed"]
    return len(gateway.records) + sum(sums)
