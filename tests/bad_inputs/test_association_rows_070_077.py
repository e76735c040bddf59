"""Rows 70 to 77: PDUs on and around an association that the PACS accepted."""

import hashlib

import pytest

from proxy.pdu.encode import encode_abort, encode_associate_rj, encode_p_data, encode_pdu
from tests.bad_inputs.case import Case
from tests.bad_inputs.fake_pacs import REJECTED
from tests.bad_inputs.violations import pdv, violates
from tests.support import pdus
from tests.support.messages import begun, stored

RELEASE_RQ, RELEASE_RP = b"\x05\0\0\0\0\x04\0\0\0\0", b"\x06\0\0\0\0\x04\0\0\0\0"
RQ = pdus.associate_rq()
PDU = stored(bytes(100))
MIB = 1 << 20


def test_row_070_second_request(case: Case) -> None:
    violates(case, RQ, "2/2", "pdu_unexpected")


def test_row_070_second_request_behind_a_complete_message(case: Case) -> None:
    violates(case, RQ, "2/2", "pdu_unexpected", before=stored(bytes(100)))


@pytest.mark.parametrize("pdu", [pdus.associate_ac(), encode_associate_rj(1, 1, 1)])
def test_row_071_answer_from_the_requestor(case: Case, pdu: bytes) -> None:
    violates(case, pdu, "2/2", "pdu_unexpected")


@pytest.mark.parametrize("pdu_type", [0x00, 0x08, 0x47, 0xFF])
def test_row_071_unknown_pdu_on_an_association(case: Case, pdu_type: int) -> None:
    violates(case, encode_pdu(pdu_type, bytes(4)), "2/1", "pdu_unexpected")


def test_row_072_release_before_the_answer(case: Case) -> None:
    peer = case.secured()
    peer.send(pdus.associate_rq(calling=b"HANDOVER72".ljust(16)))
    side = case.pacs.side("HANDOVER72")
    peer.send(RELEASE_RQ)
    assert peer.aborted() == "2/2"
    assert side.read_to_end() == encode_abort(2, 0) and side.end == "fin"
    case.refused(peer, "pdu_unexpected", dialled=1)


def test_row_072_abort_before_the_answer(case: Case) -> None:
    peer = case.secured()
    peer.send(pdus.associate_rq(calling=b"HANDOVER72".ljust(16)))
    side = case.pacs.side("HANDOVER72")
    peer.send(encode_abort(0, 0))
    peer.closed()
    assert side.read_to_end()[:1] == b"\x07" and side.end == "fin"
    case.gone(peer, "aborted_by_requestor", dialled=1)


def test_row_072_abort_in_the_middle_of_a_message(case: Case) -> None:
    """After a fragment that is not the last: it is a PDU like any other, and passed on."""
    peer = case.associated("MIDDLE")
    side = case.pacs.side("MIDDLE")
    data = begun() + encode_p_data(1, 0, bytes(100)) + encode_abort(0, 0)
    peer.send(data)
    assert side.wait_end() == data and side.end == "fin"
    peer.closed()
    case.passed(peer, "aborted_by_requestor")


def test_row_072_abort_in_the_middle_of_a_pdv_is_data(case: Case) -> None:
    """Inside a fragment there are no PDUs: the bytes go on as data, and the cut is a reset (invariant 4)."""
    peer = case.associated("INSIDE")
    side = case.pacs.side("INSIDE")
    data = stored(bytes(100))[:-40] + encode_abort(0, 0)
    peer.send(data)
    peer.send_wire(peer.close_tls())
    peer.fin()
    assert side.wait_end() == data and side.end == "reset"
    peer.rest()
    case.passed(peer)


def test_row_073_release_collision(case: Case) -> None:
    peer, side = case.handed_over("HANDOVER73")
    peer.send(RELEASE_RQ)
    side.send(RELEASE_RQ)
    assert peer.pdu() == RELEASE_RQ
    while len(side.received) < len(RELEASE_RQ):
        assert side.read()
    side.send(RELEASE_RP)
    assert peer.pdu() == RELEASE_RP
    peer.send(RELEASE_RP)
    peer.send_wire(peer.close_tls())
    peer.fin()
    assert side.read_to_end() == RELEASE_RQ + RELEASE_RP and side.end == "fin"
    peer.closed()
    case.passed(peer, "released")


@pytest.mark.parametrize(
    "data",
    [
        *(encode_pdu(4, bytes(length)) for length in (0, 1, 5)),
        encode_pdu(4, b"\0\0\0\0" + b"\1\3"),
        encode_pdu(4, b"\0\0\0\1" + b"\1\3"),
        encode_pdu(4, pdv(1, 0)),  # empty, and not a last fragment
        encode_pdu(4, b"\0\0\0\x0b\1\3" + bytes(8)),  # longer than its PDU by one
        encode_pdu(4, b"\xff\xff\xff\xff\1\3" + bytes(8)),
        encode_pdu(4, pdv(1, 3, bytes(8)) + bytes(5)),  # no room for a second one
        encode_pdu(4, pdv(1, 3, bytes(8)) + b"\0\0\0\x09\1\3" + bytes(6)),
    ],
)
def test_row_074_lengths_in_p_data(case: Case, data: bytes) -> None:
    peer = case.associated("LENGTHS")
    side = case.pacs.side("LENGTHS")
    peer.send(data)
    answer = peer.pdu()
    case.passed(peer, "aborted_by_gateway", "pdu_invalid")
    assert answer == encode_abort(2, 6)
    assert peer.rest() == b""
    side.wait_end()
    assert data.startswith(bytes(side.received.removesuffix(answer)))


@pytest.mark.parametrize("length", [0, 3, 5, 0xFFFFFFFF])
@pytest.mark.parametrize("pdu_type", [5, 6, 7])
def test_row_074_lengths_of_release_and_abort(case: Case, pdu_type: int, length: int) -> None:
    reason = "2/2" if pdu_type == 6 else "2/6"  # an A-RELEASE-RP without an A-RELEASE-RQ is wrong at its first byte
    pdu = bytes((pdu_type, 0)) + length.to_bytes(4, "big") + bytes(min(length, 10))
    violates(case, pdu, reason, "pdu_unexpected" if pdu_type == 6 else "pdu_invalid")


def test_row_074_data_behind_a_release(case: Case) -> None:
    peer, side = case.handed_over("HANDOVER74")
    peer.send(RELEASE_RQ + PDU)
    assert peer.aborted() == "2/2"
    assert side.read_to_end() == RELEASE_RQ + encode_abort(2, 2)
    case.passed(peer, "aborted_by_gateway", "pdu_unexpected")


def test_row_072_abort_and_more_behind_it(case: Case) -> None:
    """The A-ABORT ends the association; later bytes of the peer do not change the side that ended it."""
    peer = case.associated("BEHIND")
    side = case.pacs.side("BEHIND")
    peer.send(encode_abort(0, 0) + PDU)
    assert side.wait_end() == encode_abort(0, 0) and side.end == "fin"
    peer.rest()
    case.passed(peer, "aborted_by_requestor")


def test_row_074_empty_last_fragment(case: Case) -> None:
    """DCMTK sends an empty last fragment if a data set ends at a PDU boundary: it is legal, and passed on."""
    peer = case.associated("EMPTYLAST")
    side = case.pacs.side("EMPTYLAST")
    data = begun() + encode_p_data(1, 0, bytes(100)) + encode_p_data(1, 2, b"")
    peer.send(data)
    case.released(peer)
    assert side.wait_end() == data + RELEASE_RQ


MIXED = pdus.associate_rq(
    pdus.APPLICATION, pdus.context(1), pdus.context(3, REJECTED), pdus.context(7), pdus.user_information()
)


@pytest.mark.parametrize("context_id", [0, 2, 3, 5, 255])
def test_row_075_context_that_was_not_accepted(case: Case, context_id: int) -> None:
    violates(
        case,
        encode_p_data(context_id, 3, bytes(20)),
        "2/6",
        "pdu_invalid",
        before=stored(bytes(20), 7),
        request=MIXED,
    )


def test_row_077_p_data_larger_than_announced(case: Case) -> None:
    """The receiver judges; the gateway's memory does not depend on the size."""
    size = 32 * MIB
    peer = case.associated("LARGE")
    side = case.pacs.side("LARGE")
    data = stored(bytes(range(256)) * (size // 256))
    most = case.bed.rss_bytes()
    before = most
    for start in range(0, len(data), MIB):
        peer.send(data[start : start + MIB])
        most = max(most, case.bed.rss_bytes())
    case.released(peer)
    received = side.wait_end()
    assert hashlib.sha256(received).digest() == hashlib.sha256(data + RELEASE_RQ).digest()
    assert most - before < 2 * MIB, most - before
