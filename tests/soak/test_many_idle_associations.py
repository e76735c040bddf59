"""Row 136: thousands of associations that were idle, then a C-ECHO on each at once: all are answered."""

import time
from collections.abc import Callable

import pytest

from proxy.dimse.echo import encode_c_echo_rq
from proxy.pdu import PduType, encode_p_data
from tests.support.archive import Archive
from tests.support.attempts import echo_once
from tests.support.client import COMMAND, LAST, associate, client_context, connect, release
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs
from tests.support.processes import PATIENCE, until
from tests.support.site import Site, port_of
from tests.support.soak import scaled

pytestmark = pytest.mark.slow

COUNT, IDLE = scaled(400, 5_000), scaled(1, 3600)  # associations, seconds
WARM_UP = 50  # associations
KIB = scaled(28, 24)  # for each; few do not outweigh what the processes take for themselves
ECHOES = 100  # answered in a second
LIMITS = {"connections_per_address": 6000, "handshakes_per_address": 6000}
TIMEOUTS = {"idle": "2h"}


def test_row_136_all_are_answered(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    with Pacs(Archive(), patience=2 * IDLE + PATIENCE) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port, workers=2, limits=LIMITS, timeouts=TIMEOUTS))
        context = client_context()
        for _ in range(WARM_UP):
            echo_once(port_of(gateway.config), context)
        until(lambda: gateway.metric("connections_active") == 0, "the warm-up is over")
        before = gateway.rss_kib()
        wires = [associate(connect(port_of(gateway.config), context)) for _ in range(COUNT)]
        assert gateway.metric("associations_active") == COUNT
        each = (gateway.rss_kib() - before) / COUNT
        time.sleep(IDLE)
        asked = encode_p_data(1, COMMAND | LAST, encode_c_echo_rq(1))
        began = time.monotonic()
        for wire in wires:
            wire.send(asked)
        answers = {wire.receive_pdu()[:1] for wire in wires}
        took = time.monotonic() - began
        assert answers == {bytes([PduType.P_DATA_TF])}
        print(f"{COUNT} echoes in {took:.1f} s; {each:.1f} KiB for each association")
        assert took < COUNT / ECHOES, f"{took:.1f} s for {COUNT}"
        for wire in wires:
            release(wire)
        until(lambda: gateway.metric("connections_active") == 0, "all connections are closed")
        until(lambda: len(gateway.records) == WARM_UP + COUNT, "all records are written")
        assert {record["ended"] for record in gateway.records} == {"released"}
        assert each < KIB, f"{each:.1f} KiB for each association"
