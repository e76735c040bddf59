"""Row 144: everything at once at a tenth of what the other scenarios do, for as long as one likes: nothing grows.

DICOMGATE_SOAK_MINUTES is the length of the whole form: a week is 10080.
"""

import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.support.archive import Archive
from tests.support.attempts import echo_once
from tests.support.client import associate, client_context, connect, echo, release
from tests.support.gateway import Gateway
from tests.support.loads import connects, handshakes, hellos, load, rejects, stores
from tests.support.pacs import Pacs
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, until
from tests.support.quantiles import Quantiles
from tests.support.site import Site, port_of
from tests.support.slope import slope
from tests.support.soak import scaled

pytestmark = pytest.mark.slow

SECONDS = scaled(5, int(os.environ.get("DICOMGATE_SOAK_MINUTES", "10")) * 60)
WARM_UP = scaled(1, 60)  # of them, until all that is allocated only once is allocated
EVERY = scaled(0.1, 1.0)  # seconds between two looks
IDLE = 50
DAY = 86_400
A_DAY_KIB = 1024
NOISE_KIB = scaled(8_000, 4_000)  # the change of memory by itself, for any length
PEERS = [{"aet": ["CT1", "PROBE", "IDLE"], "allow": ["all"]}]
NEVER = 1_000_000_000
#: Events of a healthy gateway under too much load.
EXPECTED = {"listening", "started", "connections_capped", "refusals_suppressed", "certificate_expires"}


def test_row_144_nothing_grows_and_nothing_is_unexplained(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    plain = free_port()
    with Pacs(Archive(), patience=SECONDS + PATIENCE) as pacs, ExitStack() as stack:
        config = site.one_tenant(
            pacs.port,
            workers=2,
            peers=PEERS,
            timeouts={"idle": "never"},
        )
        config["listeners"]["plain"] = {"bind": [f"127.0.0.1:{plain}"], "tenants": ["hospital"]}
        gateway = start_gateway(config)
        port = port_of(config)
        context = client_context()
        idle = [associate(connect(port, context), calling="IDLE") for _ in range(IDLE)]
        loads = [
            stack.enter_context(load(*job))
            for job in (
                (stores, port, 4, 5.0, 64 * 1024),
                (connects, port, ["127.9.0.1"], 200),
                (hellos, port, ["127.9.0.2"], 50),
                (handshakes, port, ["127.9.0.3"], 50, 8),
                (rejects, plain, ["STRANGER"], NEVER, 0.02),
            )
        ]
        took, samples = [], []
        began = time.monotonic()
        while (at := time.monotonic() - began) < SECONDS:
            took.append(echo_once(port, context))
            echo(idle[len(took) % IDLE])
            samples.append((at, float(gateway.rss_kib())))
            assert gateway.child.alive
            time.sleep(EVERY)
        counts = [job.end() for job in loads]
        for wire in idle:
            release(wire)
        until(lambda: gateway.metric("connections_active") == 0, "all connections are closed")
        gateway.check_healthy()
        until(lambda: gateway.child.descriptors() <= gateway.baseline_descriptors, "no descriptor is left")
        # The log comes through a pipe, later than metrics and descriptors.
        until(lambda: len(accepted(gateway)) >= IDLE + len(took) + 4, "all records are written")
    grown = slope([(at, kib) for at, kib in samples if at > WARM_UP]) * SECONDS
    print(f"{counts}; C-ECHO {Quantiles(took)}; memory {grown:+.0f} KiB in {SECONDS} s")
    assert grown < A_DAY_KIB * SECONDS / DAY + NOISE_KIB
    assert {event["event"] for event in gateway.events} <= EXPECTED
    assert Counter(accepted(gateway)) == {"released": IDLE + len(took) + 4}


def accepted(gateway: Gateway) -> list[str]:
    """The end of each accepted association."""
    return [record["ended"] for record in gateway.records if record["decision"] == "accepted"]
