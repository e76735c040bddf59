"""Rows 44 to 52: the first PDU of a connection, and the ways it arrives."""

import time
from collections.abc import Callable

import pytest

from proxy.pdu.encode import encode_abort, encode_p_data
from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import Case
from tests.bad_inputs.configuration import HASTY, LATE, REQUEST_CAP, STAGE
from tests.support import pdus

RQ = pdus.associate_rq()
KIB = 1024
#: The abort of PS3.8 action AA-1, whose reason is not significant, or one by the provider.
ANY_ABORT = ("0/0", "2/1", "2/2", "2/6")


@pytest.fixture(scope="module")
def bed(start_bed: Callable[..., Bed]) -> Bed:
    return start_bed(timeouts=HASTY)


def header(length: int, pdu_type: int = 1) -> bytes:
    return bytes((pdu_type, 0)) + length.to_bytes(4, "big")


@pytest.mark.parametrize("listener", ["tls", "plain"])
@pytest.mark.parametrize("pdu_type", [0x00, 0x02, 0x03, 0x04, 0x05, 0x06, 0x08, 0x47, 0xFF])
def test_row_044_first_pdu_of_another_type(case: Case, pdu_type: int, listener: str) -> None:
    peer = case.secured() if listener == "tls" else case.peer()
    peer.send(header(4, pdu_type) + bytes(4))
    assert peer.aborted() in ("0/0", "2/1", "2/2")
    case.refused(peer, "pdu_unexpected")


@pytest.mark.parametrize("listener", ["tls", "plain"])
def test_row_044_first_bytes_of_a_browser(case: Case, listener: str) -> None:
    peer = case.secured() if listener == "tls" else case.peer()
    peer.send(b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n")
    assert peer.aborted() == "0/0"
    case.refused(peer, "pdu_unexpected")
    assert case.record(peer)["detail"] == "the peer speaks HTTP, not DICOM"


def test_row_044_first_pdu_is_an_abort(case: Case) -> None:
    peer = case.secured()
    peer.send(encode_abort(0, 0))
    peer.closed()
    case.gone(peer, "aborted_by_requestor")


@pytest.mark.parametrize("length", [0, 1, 67])
def test_row_045_declared_length_below_the_fixed_fields(case: Case, length: int) -> None:
    peer = case.secured()
    peer.send(header(length) + bytes(length))
    assert peer.aborted() in ANY_ABORT
    case.refused(peer, "pdu_invalid")


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, REQUEST_CAP - 6 + 1])
def test_row_046_declared_length_above_the_cap(case: Case, length: int) -> None:
    """Refused on the six bytes of the header, and nothing is allocated from the length."""
    grown = []
    for _ in range(4):  # the first ones warm up
        before = case.bed.rss_bytes()
        peer = case.peer()
        peer.send(header(length))
        assert peer.aborted() in ANY_ABORT
        case.refused(peer, "request_too_large")
        grown.append(case.bed.rss_bytes() - before)
    assert min(grown) < 64 * KIB, grown


def test_row_047_cap_declared_then_silence(case: Case) -> None:
    """Closed at the ARTIM timeout without a PDU (PS3.8 9.2, AA-2); a length reserves no memory."""
    warm_up, peer = case.peer(), case.peer()
    before = case.bed.rss_bytes()
    for each in (warm_up, peer):
        each.send(header(REQUEST_CAP - 6) + b"\0")
    grown = case.bed.rss_bytes() - before
    for each in (warm_up, peer):
        assert STAGE * 0.9 < each.closed() < LATE
        case.refused(each, "artim_expired")
    assert grown < 64 * KIB


@pytest.mark.parametrize("missing", [1, 4, 60])
def test_row_048_length_smaller_than_the_items(case: Case, missing: int) -> None:
    peer = case.secured()
    peer.send(header(len(RQ) - 6 - missing) + RQ[6 : len(RQ) - missing])
    assert peer.aborted() in ANY_ABORT
    case.refused(peer, "pdu_invalid")


def test_row_048_length_smaller_than_the_items_and_all_of_them_sent(case: Case) -> None:
    """Bytes after the declared end are data before the answer, or make the items too long: never an association."""
    peer = case.secured()
    peer.send(header(len(RQ) - 6 - 4) + RQ[6:])
    assert peer.aborted() in ANY_ABORT
    case.refused(peer, "pdu_unexpected")


def test_row_048_length_larger_than_the_items(case: Case) -> None:
    peer = case.secured()
    peer.send(header(len(RQ) - 6 + 10) + RQ[6:])
    assert STAGE * 0.9 < peer.closed() < LATE
    case.refused(peer, "artim_expired")


@pytest.mark.parametrize("listener", ["tls", "plain"])
def test_row_049_data_behind_the_request_in_one_segment(case: Case, listener: str) -> None:
    peer = case.secured() if listener == "tls" else case.peer()
    peer.send(RQ + encode_p_data(1, 3, bytes(60)))
    assert peer.aborted() in ("0/0", "0/2", "2/2")
    case.refused(peer, "pdu_unexpected")


def test_row_049_data_behind_the_request_in_a_later_segment(case: Case) -> None:
    """The upstream was asked already: it gets an A-ABORT, and no byte of the data."""
    peer = case.secured()
    peer.send(pdus.associate_rq(calling=b"HANDOVER49".ljust(16)))
    side = case.pacs.side("HANDOVER49")
    peer.send(encode_p_data(1, 3, bytes(60)))
    assert peer.aborted() == "2/2"
    assert side.read_to_end() == encode_abort(2, 0)
    case.refused(peer, "pdu_unexpected", dialled=1)


def test_row_050_request_split_at_every_byte(case: Case) -> None:
    for offset in range(1, len(RQ)):
        peer = case.peer()
        peer.send(RQ[:offset])
        peer.wait_acknowledged()
        peer.send(RQ[offset:])
        peer.accepted()
        peer.reset()
        case.passed(peer)


@pytest.mark.parametrize("listener", ["tls", "plain"])
def test_row_050_one_byte_per_segment(case: Case, listener: str) -> None:
    peer = case.secured() if listener == "tls" else case.peer()
    for byte in RQ:
        peer.send(bytes((byte,)))
        peer.wait_acknowledged()
    peer.accepted()
    case.released(peer)


def test_row_051_slow_request_within_the_time(case: Case) -> None:
    peer = case.secured()
    step = len(RQ) // 10
    for start in range(0, len(RQ), step):
        peer.send(RQ[start : start + step])
        time.sleep(STAGE / 30)  # the row is about time
    peer.accepted()
    case.released(peer)


def test_row_051_slow_request_beyond_the_time(case: Case) -> None:
    """Trickled bytes do not extend the deadline (invariant 6)."""
    peer = case.secured()
    secured = time.monotonic()
    sent = 0
    while time.monotonic() < secured + 2 * STAGE and peer.end is None:
        peer.send(RQ[sent : sent + 1])
        sent += 1
        try:
            peer.receive(STAGE / 10)
        except AssertionError:
            continue  # nothing came yet
    assert STAGE * 0.9 < time.monotonic() - secured < LATE and sent < len(RQ)
    assert peer.end == "fin"
    case.refused(peer, "artim_expired")


@pytest.mark.parametrize("version", [0, 2, 0xFFFE])
def test_row_052_protocol_version_without_bit_0(case: Case, version: int) -> None:
    peer = case.secured()
    peer.send(pdus.associate_rq(protocol_version=version))
    assert peer.rejected() == "1/2/2"
    case.refused(peer, "protocol_version")


@pytest.mark.parametrize("version", [1, 3, 0xFFFF])
def test_row_052_only_bit_0_of_the_protocol_version_counts(case: Case, version: int) -> None:
    peer = case.secured()
    request = pdus.associate_rq(protocol_version=version, calling=b"VERSION".ljust(16))
    peer.associate(request)
    assert case.pacs.side("VERSION").request == request
    case.released(peer)
