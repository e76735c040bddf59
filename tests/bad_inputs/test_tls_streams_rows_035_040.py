"""Rows 35 to 40 and 147: TLS and TCP of an established association, and their ends."""

import hashlib
import ssl
import threading
import time
from collections.abc import Callable

import pytest

from proxy.pdu.encode import encode_abort, encode_p_data
from tests.bad_inputs.case import Case
from tests.bad_inputs.hostile import SOON, Peer, TlsPeer
from tests.support import pdus, tls_pair
from tests.support.messages import begun, stored

MIB = 1 << 20
BEGUN = begun()
PDU = encode_p_data(1, 0, bytes(range(100)))  # of the message that has begun
HEADER = 12  # headers of a P-DATA-TF and its first PDV: held back until they are whole
OUR_ABORT = encode_abort(2, 0)
RQ = pdus.associate_rq()
RELEASE_RQ, RELEASE_RP = b"\x05\0\0\0\0\x04\0\0\0\0", b"\x06\0\0\0\0\x04\0\0\0\0"


def test_row_035_records_of_one_byte(case: Case) -> None:
    """1 MB in a million records: 22 times as much on the wire."""
    peer = case.associated("ONEBYTE")
    side = case.pacs.side("ONEBYTE")
    data = stored(bytes(range(250)) * 4000)
    before = case.bed.cpu_seconds()
    write, pending = peer.tls.write, peer.outgoing
    for at in range(len(data)):
        write(data[at : at + 1])
        if pending.pending > 32_000:
            peer.send_wire(pending.read())
    peer.send_wire(pending.read())
    case.released(peer)
    assert hashlib.sha256(side.wait_end()).digest() == hashlib.sha256(data + RELEASE_RQ).digest()
    used = case.bed.cpu_seconds() - before
    assert used < 15, f"{used} s of CPU"


def bad_mac(peer: TlsPeer) -> bytes:
    record = bytearray(peer.seal(PDU))
    record[-1] ^= 1
    return bytes(record)


BROKEN: list[tuple[Callable[[TlsPeer], bytes], set[str]]] = [
    (bad_mac, {"bad_record_mac"}),
    (lambda _: b"\x17\x03\x03\0\x40" + bytes(64), {"bad_record_mac"}),
    (lambda _: b"\x17\x03\x03" + (16_384 + 257).to_bytes(2, "big") + bytes(16_384 + 257), {"record_overflow"}),
    (lambda _: b"\x99" * 100, {"unexpected_message", "protocol_version", "decode_error", "record_overflow"}),
    (lambda _: b"\x16\x03\x03\0\x40" + bytes(64), {"unexpected_message", "bad_record_mac"}),
    (lambda _: RQ, {"unexpected_message", "protocol_version", "decode_error", "record_overflow"}),
]


@pytest.mark.parametrize("inside", [False, True], ids=["between PDUs", "inside a PDU"])
@pytest.mark.parametrize(
    ("broken", "alerts"),
    BROKEN,
    ids=["bad MAC", "garbage record", "overflow", "garbage", "handshake", "plain DICOM"],
)
def test_row_036_broken_record(case: Case, broken: Callable[[TlsPeer], bytes], alerts: set[str], inside: bool) -> None:
    """Earlier bytes are delivered; then an A-ABORT at a PDU boundary, a reset inside a PDU (invariant 4)."""
    peer = case.associated("BROKEN")
    side = case.pacs.side("BROKEN")
    sent = BEGUN + PDU + (PDU[:60] if inside else b"")
    peer.send(sent)
    peer.send_wire(broken(peer))
    said = peer.rest()
    assert said in (b"", OUR_ABORT)
    assert peer.alert in alerts, f"{peer.alert} {peer.end}"
    assert side.wait_end() == (sent if inside else sent + OUR_ABORT)
    assert side.end == ("reset" if inside else "fin")
    case.passed(peer, "aborted_by_gateway", "tls_failed")


@pytest.mark.parametrize("left", [1, 40, len(PDU) - HEADER])
def test_row_037_fin_without_close_notify_inside_a_pdu(case: Case, left: int) -> None:
    peer = case.associated("TRUNCATED")
    side = case.pacs.side("TRUNCATED")
    peer.send(BEGUN + PDU[:-left])
    peer.fin()
    assert side.wait_end() == BEGUN + PDU[:-left] and side.end == "reset"
    peer.rest()
    case.passed(peer, "requestor_lost", "tls_truncated")


def test_row_037_fin_without_close_notify_inside_the_request(case: Case) -> None:
    peer = case.secured()
    peer.send(RQ[:100])
    peer.fin()
    peer.closed()
    case.refused(peer, "tls_truncated")


def test_row_038_fin_without_close_notify_behind_the_release(case: Case) -> None:
    peer = case.associated()
    peer.send(RELEASE_RQ)
    assert peer.pdu() == RELEASE_RP
    peer.fin()
    peer.closed()
    case.passed(peer, "released")


def test_row_039_everything_sent_while_the_upstream_is_stalled(case: Case) -> None:
    """Data, close_notify and FIN are all there before the PACS reads on: it gets every byte."""
    peer, side = case.handed_over("HANDOVER39")
    assert isinstance(peer, TlsPeer)
    data = stored(bytes(range(256)) * 64) * 256  # 4 MiB

    def send() -> None:
        peer.send(data)
        peer.send_wire(peer.close_tls())
        peer.fin()

    sender = threading.Thread(target=send, daemon=True)
    peer.socket.settimeout(SOON * 3)
    sender.start()
    sender.join(0.3)  # what fits into all the buffers on the way is there by now
    assert side.read_to_end() == data + OUR_ABORT and side.end == "fin"
    sender.join(SOON)
    peer.rest()
    case.passed(peer)


def test_row_040_reset_inside_the_client_hello(case: Case) -> None:
    peer = case.tls_peer()
    hello = peer.hello()
    peer.reset()
    case.unrecorded(peer)  # a connection without a byte is a probe
    for count in (1, 5, 9, 60, len(hello) - 1, len(hello)):
        peer = case.tls_peer()
        peer.send_wire(peer.hello()[:count])
        peer.wait_acknowledged()
        peer.reset()
        case.refused(peer, "requestor_gone")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
def test_row_040_reset_inside_the_second_flight(case: Case, version: ssl.TLSVersion, part: float) -> None:
    peer = case.tls_peer(context=tls_pair.client(minimum=version, maximum=version))
    peer.send_wire(peer.hello())
    flight = peer.flight()
    peer.send_wire(flight[: int(part * len(flight))])
    peer.wait_acknowledged()
    peer.reset()
    case.refused(peer, "requestor_gone")


@pytest.mark.parametrize("listener", ["tls", "plain"])
def test_row_040_reset_at_each_offset_of_the_request(case: Case, listener: str) -> None:
    for count in range(1, len(RQ), 1 if listener == "plain" else 9):
        peer = case.secured() if listener == "tls" else case.peer()
        peer.send(RQ[:count])
        peer.wait_acknowledged()
        peer.reset()
        case.refused(peer, "requestor_gone")


@pytest.mark.parametrize("listener", ["tls", "plain"])
def test_row_040_reset_at_each_offset_of_a_pdu(case: Case, listener: str) -> None:
    for count in (*range(HEADER + 2), *range(20, len(PDU) - 1, 20), len(PDU) - 1, len(PDU)):
        peer = case.secured() if listener == "tls" else case.peer()
        peer.associate(pdus.associate_rq(calling=b"OFFSETS".ljust(16)))
        side = case.pacs.side("OFFSETS")
        peer.send(BEGUN + PDU + PDU[:count])
        peer.wait_acknowledged()
        peer.reset()
        passed_on = BEGUN + PDU + PDU[: count if count >= HEADER else 0]
        boundary = len(passed_on) in (len(BEGUN + PDU), len(BEGUN + PDU + PDU))
        assert side.wait_end() == passed_on + (OUR_ABORT if boundary else b""), count
        assert side.end == ("fin" if boundary else "reset"), count
        case.passed(peer)


def send_until_stuck(peer: Peer, data: bytes) -> int:
    """Send until nothing has moved for a while; how many bytes the gateway's kernel has taken."""
    peer.socket.setblocking(False)
    sent, quiet = 0, 0
    while quiet < 20 and sent < len(data):
        try:
            sent += peer.socket.send(data[sent : sent + (1 << 16)])
            quiet = 0
        except BlockingIOError:
            quiet += 1
            time.sleep(0.005)  # the row is about what waits in buffers
    return sent - peer.unacknowledged()


def test_row_147_data_then_reset_with_a_reader_that_runs(case: Case) -> None:
    peer = case.peer()
    peer.associate(pdus.associate_rq(calling=b"RUNNING".ljust(16)))
    side = case.pacs.side("RUNNING")
    data = stored(bytes(range(256)) * 64) * 64  # 1 MiB
    peer.send(data)
    peer.wait_acknowledged()
    peer.reset()
    with case.promptly(1.5):
        assert side.wait_end() == data + OUR_ABORT and side.end == "fin"
        assert case.record(peer)["ended"] == "requestor_lost"
    case.passed(peer)


def test_row_147_data_then_reset_with_a_reader_that_pauses(case: Case) -> None:
    """The RST meets a leg that is not read: what the kernel has taken is still delivered once the PACS reads on."""
    peer, side = case.handed_over("HANDOVER147", plain=True)
    data = stored(bytes(range(256)) * (256 * 256))  # 16 MiB in one PDU
    taken = send_until_stuck(peer, data)
    assert MIB < taken < len(data)
    cpu = case.bed.cpu_seconds()
    peer.reset()
    case.check_the_healthy_client()
    assert case.bed.cpu_seconds() - cpu < 0.2  # a RST that may not be read yet causes no busy loop
    received = side.read_to_end()
    assert len(received) >= taken and received == data[: len(received)] and side.end == "reset"
    case.passed(peer)
