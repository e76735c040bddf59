"""Row 142: /metrics and /readyz answer in time while both workers have more to do than they can."""

import time
from collections.abc import Callable

import pytest

from tests.bench import instances
from tests.bench.measure import Loader
from tests.support.gateway import Gateway
from tests.support.loads import connects, load
from tests.support.quantiles import Quantiles
from tests.support.site import Site, port_of
from tests.support.soak import scaled

pytestmark = pytest.mark.slow

SECONDS = scaled(3, 60)
SENDERS = 8
RATE = 3_000  # connections of a stranger each second
PATIENCE = scaled(1.0, 0.1)  # seconds; two cores may be shared with much else
PAGES = ("/metrics", "/readyz")


def test_row_142_a_scrape_is_quick(site: Site, quick_pacs: int, start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway(site.one_tenant(quick_pacs, workers=2, called_aets=instances.CALLED))
    port = port_of(gateway.config)
    bulk = Loader()
    took: dict[str, list[float]] = {page: [] for page in PAGES}
    try:
        bulk.begin("bulk", port, called="STORE", associations=SENDERS, seconds=SECONDS)
        with load(connects, port, ["127.9.0.1"], RATE) as storm:
            bulk.start()
            over = time.monotonic() + SECONDS
            while time.monotonic() < over:
                for page in PAGES:
                    began = time.monotonic()
                    status, _ = gateway.get(page)
                    took[page].append(time.monotonic() - began)
                    assert status == 200
                time.sleep(0.02)
            strangers = storm.end()
        stored = sum(bulk.result()["each"])
        bulk.end()
    finally:
        bulk.close()
    found = {page: Quantiles(seconds) for page, seconds in took.items()}
    shown = "; ".join(f"{page} {quantiles}" for page, quantiles in found.items())
    print(f"{shown}; beside {stored / SECONDS / 2:.0f} MiB/s and {strangers['opened'] / SECONDS:.0f} connections/s")
    assert stored > 10 * SECONDS and strangers["refused"] > 100 * SECONDS
    for page, quantiles in found.items():
        assert quantiles.p99 < PATIENCE, f"{page}: {quantiles}"
