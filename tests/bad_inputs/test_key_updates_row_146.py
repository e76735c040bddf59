"""Row 146: TLS 1.3 KeyUpdates without end (RFC 8446 4.6.3), from a peer that reads none of the answers."""

from pathlib import Path

import pytest

from proxy.pdu.encode import encode_abort
from tests.bad_inputs.bed import Case
from tests.bad_inputs.hostile import TlsPeer, client
from tests.bad_inputs.records13 import RecordSealer
from tests.support import pdus

COUNT = 20_000
KIB = 1024


def sealer(case: Case, folder: Path) -> tuple[TlsPeer, RecordSealer]:
    """A client behind its handshake, and its record layer."""
    context = client(version="1.3")
    context.keylog_filename = str(folder / "keys.log")
    peer = case.secured(context=context)
    cipher = peer.tls.cipher()
    assert cipher is not None
    return peer, RecordSealer.from_key_log(folder / "keys.log", cipher[0])


def flood(peer: TlsPeer, records: RecordSealer) -> None:
    for _ in range(COUNT // 100):
        peer.send_wire(b"".join(records.key_update() for _ in range(100)))


@pytest.mark.parametrize("associated", [False, True], ids=["before the request", "on an association"])
def test_row_146_key_updates(case: Case, tmp_path: Path, associated: bool) -> None:
    case.rss_slack = 512 * KIB
    peer, records = sealer(case, tmp_path)
    if associated:
        peer.send_wire(records.seal(pdus.associate_rq(calling=b"UPDATES".ljust(16))))
        peer.accepted()
    before = case.bed.rss_bytes()
    flood(peer, records)
    assert case.record(peer)["reason"] == "tls_failed"
    assert case.bed.rss_bytes() - before < 512 * KIB
    if associated:
        assert case.pacs.side("UPDATES").wait_end() == encode_abort(2, 0)
        case.passed(peer, "aborted_by_gateway", "tls_failed")
    else:
        case.refused(peer, "tls_failed")


def test_row_146_some_key_updates_are_fine(case: Case, tmp_path: Path) -> None:
    """The control: the record layer of this test is a real one, and a peer that renews its keys is served."""
    peer, records = sealer(case, tmp_path)
    peer.send_wire(records.key_update() + records.key_update())
    peer.send_wire(records.seal(pdus.associate_rq()))
    peer.accepted()
    peer.send_wire(records.key_update() + records.seal(b"\x05\0\0\0\0\x04\0\0\0\0"))
    assert peer.pdu() == b"\x06\0\0\0\0\x04\0\0\0\0"
    case.passed(peer, "released")
