"""Thousands of associations that were idle, then a C-ECHO on each at once: all are answered."""

import time
from collections.abc import Callable

import pytest

from proxy.dimse.echo import encode_c_echo_rq
from proxy.pdu import PduType, encode_p_data
from tests.support.archive import Archive
from tests.support.client import COMMAND, LAST, associate, client_context, connect, release
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.soak import scaled

pytestmark = pytest.mark.slow

COUNT = scaled(1_000, 3_000)
LIMITS = {"connections_per_address": 5000, "handshakes_per_address": 5000}


def test_all_are_answered(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    with Pacs(Archive()) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port, workers=2, limits=LIMITS))
        context = client_context()
        wires = [associate(connect(port_of(gateway.config), context)) for _ in range(COUNT)]
        assert gateway.metric("associations_active") == COUNT
        asked = encode_p_data(1, COMMAND | LAST, encode_c_echo_rq(1))
        began = time.monotonic()
        for wire in wires:
            wire.send(asked)
        answers = {wire.receive_pdu()[:1] for wire in wires}
        took = time.monotonic() - began
        assert answers == {bytes([PduType.P_DATA_TF])}
        assert took < COUNT / 100, f"{took:.1f} s for {COUNT}"
        for wire in wires:
            release(wire)
        until(lambda: gateway.metric("connections_active") == 0, "all connections are closed")
        assert {record["ended"] for record in gateway.records} == {"released"}
