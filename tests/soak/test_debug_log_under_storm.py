"""Row 143: log level debug under a storm, with an unread log: no patient data in it, and bounded queues."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.pdu import PduType, encode_associate_rq
from tests.support.archive import Archive, Instance, store
from tests.support.client import CONTEXTS, client_context, connect, release
from tests.support.gateway import Gateway
from tests.support.loads import load, rejects
from tests.support.pacs import Pacs
from tests.support.ports import free_port
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.soak import scaled

pytestmark = pytest.mark.slow

SECONDS = scaled(3, 60)
PATIENT, PASSCODE = b"SECRET^PATIENT", b"open-sesame"
IDENTITY = (2, False, b"doctor", PASSCODE)  # user name and passcode (PS3.7 Table D.3-14)
TITLES = [f"STRANGER{number}" for number in range(5_000)]
GROWTH_KIB = 16 * 1024  # 1 MiB may wait in each worker, as much in the supervisor
LIMITS = {"associate_rq": "64KiB"}


def test_row_143_nothing_private_and_nothing_unbounded(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    log = tmp_path / "access.fifo"
    os.mkfifo(log)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    archive, port = Archive(), free_port()
    with Pacs(archive) as pacs:
        peers = [{"aet": "CT1", "allow": ["all"]}]
        config = site.one_tenant(
            pacs.port, workers=2, peers=peers, log={"level": "debug"}, access_log={"path": str(log)}, limits=LIMITS
        )
        config["listeners"]["plain"] = {"bind": [f"127.0.0.1:{port}"], "tenants": ["hospital"]}
        gateway = start_gateway(config)
        context = client_context()
        told: list[Instance] = []

        def one_of_a_patient() -> None:
            one = Instance(f"1.2.826.0.1.3680043.10.1337.143.{len(told) + 1}", PATIENT * 2_000)
            with connect(port_of(config), context) as wire:
                wire.send(encode_associate_rq("MAINPACS", "CT1", CONTEXTS, user_identity=IDENTITY))
                assert wire.receive_pdu()[:1] == bytes([PduType.A_ASSOCIATE_AC])
                store(wire, one)
                release(wire)
            told.append(one)

        for _ in range(20):
            one_of_a_patient()
        before = highest = gateway.rss_kib()
        over = time.monotonic() + SECONDS
        with load(rejects, port, TITLES, 1_000_000) as storm:
            while time.monotonic() < over:
                one_of_a_patient()
                highest = max(highest, gateway.rss_kib())
            rejected = storm.end().total()
        archive.check(told)
        print(f"{rejected} rejections and {len(told)} instances in {SECONDS} s, memory {highest - before:+d} KiB")
        assert highest - before < GROWTH_KIB
        written = bytearray()

        def read() -> int:
            try:
                written.extend(os.read(reader, 1 << 20))
            except BlockingIOError:
                pass
            return written.count(b'"released"')

        until(lambda: read() + gateway.metric("log_dropped_total") >= len(told), "the log is read")
        os.close(reader)
    assert len(told) > 20 and rejected > 100 and b'"trace"' in written, "it was at level debug"
    said = bytes(written) + gateway.child.text.encode()
    for secret in (PATIENT, PASSCODE):
        for form in (secret, secret.hex().encode(), secret[::-1]):
            assert form not in said
