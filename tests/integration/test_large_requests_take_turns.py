"""Requests that take long to read, all at once: between two of them everybody else is served."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack

from proxy.pdu import PduType, encode_associate_rq
from tests.support.client import associate, connect, echo
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, mirror
from tests.support.pdus import VERIFICATION
from tests.support.site import Site, port_of
from tests.support.steering import workers

COUNT = 20
#: As many transfer syntaxes as 256 KiB hold: 60 ms to parse.
LARGE = encode_associate_rq(
    "MAINPACS", "STRANGER", [(number, VERIFICATION, ["1"] * 390) for number in range(1, 256, 2)]
)


def test_one_at_a_time(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    with Pacs(mirror) as pacs, ExitStack() as stack:
        config = site.one_tenant(pacs.port, peers=[{"aet": "CT1", "allow": ["all"]}])
        listener = config["listeners"]["dicom-tls"]
        del listener["tls"]
        listener["tenants"] = ["hospital"]
        gateway = start_gateway(config)
        port = port_of(config)
        other = stack.enter_context(associate(connect(port)))
        wires = [stack.enter_context(connect(port)) for _ in range(COUNT)]
        for wire in wires:
            wire.send(LARGE[:-1])
        for _ in range(COUNT):
            echo(other)
        [worker] = workers(gateway)
        os.kill(worker, signal.SIGSTOP)
        for wire in wires:
            wire.send(LARGE[-1:])
        began = time.monotonic()
        os.kill(worker, signal.SIGCONT)
        echo(other)
        waited = time.monotonic() - began
        for wire in wires:
            assert wire.receive_pdu()[:1] == bytes([PduType.A_ASSOCIATE_RJ])
        assert waited < (time.monotonic() - began) / 2
