"""Row 146: TLS 1.3 KeyUpdates without end (RFC 8446 4.6.3), from a peer that reads none of the answers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.pdu.encode import encode_abort
from tests.bad_inputs.case import Case
from tests.bad_inputs.hostile import TlsPeer, client
from tests.bad_inputs.records13 import RecordSealer
from tests.support import pdus
from tests.support.messages import stored

COUNT = 20_000
KIB = 1024
RELEASE_RQ, RELEASE_RP = b"\x05\0\0\0\0\x04\0\0\0\0", b"\x06\0\0\0\0\x04\0\0\0\0"


def sealer(case: Case, folder: Path) -> tuple[TlsPeer, RecordSealer]:
    """A client after its handshake, and its record layer."""
    context = client(version="1.3")
    context.keylog_filename = str(folder / "keys.log")
    peer = case.secured(context=context)
    cipher = peer.tls.cipher()
    assert cipher is not None
    return peer, RecordSealer.from_key_log(folder / "keys.log", cipher[0])


Flood = Callable[[RecordSealer], bytes]


def empty_record(records: RecordSealer) -> bytes:
    """A record without a byte of data (RFC 8446 5.1 allows it)."""
    return records.seal(b"")


@pytest.mark.parametrize("flood", [RecordSealer.key_update, empty_record], ids=["key updates", "empty records"])
@pytest.mark.parametrize("associated", [False, True], ids=["before the request", "on an association"])
def test_row_146_nothing_but_tls(case: Case, tmp_path: Path, associated: bool, flood: Flood) -> None:
    """64 KiB of ciphertext without a byte of plaintext are tolerated (docs/architecture.md)."""
    grown = []
    for _ in range(3):  # the first one warms up
        peer, records = sealer(case, tmp_path)
        if associated:
            peer.send_wire(records.seal(pdus.associate_rq(calling=b"UPDATES".ljust(16))))
            peer.accepted()
        before = case.bed.rss_bytes()
        for _ in range(COUNT // 100):
            peer.send_wire(b"".join(flood(records) for _ in range(100)))
        assert case.record(peer)["reason"] == "tls_failed"
        grown.append(case.bed.rss_bytes() - before)
        if associated:
            assert case.pacs.side("UPDATES").wait_end() == encode_abort(2, 0)
            case.passed(peer, "aborted_by_gateway", "tls_failed")
        else:
            case.refused(peer, "tls_failed")
    assert min(grown) < 256 * KIB, grown


def test_row_146_key_updates_between_the_bytes_of_a_pdu(case: Case, tmp_path: Path) -> None:
    """Each KeyUpdate asks for an answer, which this peer does not read: the output is bounded, and the data goes on."""
    peer, records = sealer(case, tmp_path)
    peer.send_wire(records.seal(pdus.associate_rq(calling=b"BETWEEN".ljust(16))))
    peer.accepted()
    side = case.pacs.side("BETWEEN")
    data = stored(bytes(range(200)) * (COUNT // 200))
    peer.send_wire(records.seal(data[:-COUNT]))
    for start in range(len(data) - COUNT, len(data), 100):
        one_by_one = (data[at : at + 1] for at in range(start, start + 100))
        peer.send_wire(b"".join(records.key_update() + records.seal(byte) for byte in one_by_one))
    peer.send_wire(records.seal(RELEASE_RQ))
    assert peer.pdu() == RELEASE_RP
    assert side.wait_end() == data + RELEASE_RQ
    case.passed(peer, "released")


def test_row_146_some_key_updates_are_fine(case: Case, tmp_path: Path) -> None:
    """The control: the record layer of this test is a real one, and a peer that renews its keys is served."""
    peer, records = sealer(case, tmp_path)
    peer.send_wire(records.key_update() + records.key_update())
    peer.send_wire(records.seal(pdus.associate_rq()))
    peer.accepted()
    peer.send_wire(records.key_update() + records.seal(RELEASE_RQ))
    assert peer.pdu() == RELEASE_RP
    case.passed(peer, "released")
