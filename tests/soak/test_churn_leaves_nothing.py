"""Row 140: associations come and go, as many as there is CPU for: descriptors, tasks and memory do not grow."""

import time
from collections.abc import Callable

import pytest

from tests.bench import instances
from tests.bench.measure import Loader
from tests.support.gateway import Gateway
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.slope import slope
from tests.support.soak import scaled

pytestmark = pytest.mark.slow

SECONDS = scaled(3, 3600)
LOADERS = 2
WARM_UP = scaled(1, 120)  # seconds until all that is allocated only once is allocated
GROWTH_KIB = scaled(8_000, 4_000)  # in all, of all processes: memory that is not returned at once


def test_row_140_nothing_grows(site: Site, quick_pacs: int, start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway(site.one_tenant(quick_pacs, workers=2, called_aets=instances.CALLED))
    port = port_of(gateway.config)
    loaders = [Loader() for _ in range(LOADERS)]

    def churn(seconds: float) -> tuple[int, list[tuple[float, float]]]:
        """The number of associations, and samples of the resident memory."""
        for loader in loaders:
            loader.begin("one_by_one", port, called="ECHO", seconds=seconds)
        for loader in loaders:
            loader.start()
        samples = []
        began = time.monotonic()
        while (at := time.monotonic() - began) < seconds:
            samples.append((at, float(gateway.rss_kib())))
            time.sleep(seconds / 50)
        count = sum(loader.result()["count"] for loader in loaders)
        for loader in loaders:
            loader.end()
        return count, samples

    try:
        churn(WARM_UP)
        until(lambda: gateway.metric("connections_active") == 0, "all connections are closed")
        count, samples = churn(SECONDS)
    finally:
        for loader in loaders:
            loader.close()
    grown = slope(samples) * SECONDS
    print(f"{count / SECONDS:.0f} associations/s, resident memory {grown:+.0f} KiB in {SECONDS} s")
    assert grown < GROWTH_KIB
    until(lambda: gateway.metric("connections_active") == 0, "all connections are closed")
    until(lambda: gateway.child.descriptors() <= gateway.baseline_descriptors, "no descriptor is left")
    assert gateway.metric("associations_total", outcome="accepted") >= count
