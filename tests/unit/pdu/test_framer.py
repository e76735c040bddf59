"""Rows 3 and 44 to 50 of docs/robustness.md, as far as the first PDU shows them."""

import time
import tracemalloc

import pytest

from proxy.pdu import (
    AbortReason,
    InvalidPduParameter,
    PduFramer,
    PduTooLarge,
    PduType,
    UnexpectedPdu,
    UnrecognizedPdu,
    encode_abort,
    encode_associate_rj,
)
from proxy.pdu.encode import encode_pdu
from tests.support.pdus import associate_ac, associate_rq, encode_release_rp

FROM_REQUESTOR = frozenset({PduType.A_ASSOCIATE_RQ, PduType.A_ABORT})
FROM_UPSTREAM = frozenset({PduType.A_ASSOCIATE_AC, PduType.A_ASSOCIATE_RJ, PduType.A_ABORT})
MAX_LENGTH = 16_384


def header(pdu_type: int, length: int) -> bytes:
    return bytes((pdu_type, 0)) + length.to_bytes(4, "big")


@pytest.mark.parametrize("step", [1, 2, 5, 6, 7, 100, 10_000])
def test_chunk_boundaries_do_not_matter(step: int) -> None:
    framer, pdu = PduFramer(MAX_LENGTH, FROM_REQUESTOR), associate_rq()
    wire = pdu + b"tail"
    found = [framer.feed(wire[i : i + step]) for i in range(0, len(wire), step)]
    assert [item for item in found if item is not None] == [pdu]
    assert framer.trailing == b"tail"
    assert framer.received == len(wire)


def test_every_split_in_two() -> None:
    pdu = associate_rq()
    for at in range(1, len(pdu)):
        framer = PduFramer(MAX_LENGTH, FROM_REQUESTOR)
        assert framer.feed(pdu[:at]) is None
        assert framer.feed(memoryview(pdu)[at:]) == pdu


def test_boundary_and_trailing() -> None:
    framer, pdu = PduFramer(MAX_LENGTH, FROM_REQUESTOR), associate_rq()
    assert framer.feed(b"") is None
    assert framer.boundary
    framer.feed(pdu[:-1])
    assert not framer.boundary
    assert framer.trailing == b""
    framer.feed(bytearray(pdu[-1:]))
    assert framer.boundary
    assert framer.feed(b"\x04") is None
    assert not framer.boundary
    assert framer.trailing == b"\x04"


@pytest.mark.parametrize(
    "pdu", [associate_ac(), encode_associate_rj(1, 1, 7), encode_abort(0, 0)], ids=["AC", "RJ", "ABORT"]
)
def test_answers_of_the_upstream(pdu: bytes) -> None:
    assert PduFramer(MAX_LENGTH, FROM_UPSTREAM).feed(pdu) == pdu


@pytest.mark.parametrize("pdu_type", [0x00, 0x08, 0x16, 0x47, 0x80, 0xFF])
def test_the_first_byte_shows_an_unknown_type(pdu_type: int) -> None:
    with pytest.raises(UnrecognizedPdu) as caught:
        PduFramer(MAX_LENGTH, FROM_REQUESTOR).feed(bytes((pdu_type,)))
    assert caught.value.abort_reason == AbortReason.UNRECOGNIZED_PDU


@pytest.mark.parametrize("pdu_type", [0x02, 0x03, 0x04, 0x05, 0x06])
def test_the_first_byte_shows_a_type_that_is_not_due(pdu_type: int) -> None:
    with pytest.raises(UnexpectedPdu) as caught:
        PduFramer(MAX_LENGTH, FROM_REQUESTOR).feed(bytes((pdu_type,)))
    assert caught.value.abort_reason == AbortReason.UNEXPECTED_PDU


@pytest.mark.parametrize("length", [0, 1, 67])
@pytest.mark.parametrize("pdu_type", [PduType.A_ASSOCIATE_RQ, PduType.A_ASSOCIATE_AC])
def test_associate_shorter_than_its_fixed_fields(pdu_type: PduType, length: int) -> None:
    with pytest.raises(InvalidPduParameter):
        PduFramer(MAX_LENGTH, frozenset({pdu_type})).feed(header(pdu_type, length))


@pytest.mark.parametrize("length", [0, 3, 5, 68, MAX_LENGTH])
@pytest.mark.parametrize(
    "pdu_type", [PduType.A_ASSOCIATE_RJ, PduType.A_RELEASE_RQ, PduType.A_RELEASE_RP, PduType.A_ABORT]
)
def test_the_other_pdus_have_one_length(pdu_type: PduType, length: int) -> None:
    with pytest.raises(InvalidPduParameter):
        PduFramer(MAX_LENGTH, frozenset({pdu_type})).feed(header(pdu_type, length))


@pytest.mark.parametrize("length", [MAX_LENGTH + 1, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("step", [1, 6])
def test_too_large_on_the_sixth_byte(length: int, step: int) -> None:
    framer, wire = PduFramer(MAX_LENGTH, FROM_REQUESTOR), header(1, length)
    for i in range(0, 6 - step, step):
        framer.feed(wire[i : i + step])
    with pytest.raises(PduTooLarge):
        framer.feed(wire[-step:])


def test_a_pdu_of_the_maximum_length() -> None:
    pdu = encode_pdu(PduType.A_ASSOCIATE_RQ, bytes(MAX_LENGTH))
    assert PduFramer(MAX_LENGTH, FROM_REQUESTOR).feed(pdu) == pdu


def test_p_data_and_release_for_our_own_client() -> None:
    expected = frozenset({PduType.P_DATA_TF, PduType.A_RELEASE_RP})
    response = encode_pdu(PduType.P_DATA_TF, b"any")
    framer = PduFramer(MAX_LENGTH, expected)
    assert framer.feed(response + encode_release_rp()) == response
    assert PduFramer(MAX_LENGTH, expected).feed(framer.trailing) == encode_release_rp()


def test_a_declared_length_reserves_nothing() -> None:
    tracemalloc.start()
    try:
        framers = [PduFramer(8_454_667, FROM_REQUESTOR) for _ in range(100)]
        for framer in framers:
            framer.feed(header(1, 8_454_667) + b"\0")
        assert tracemalloc.get_traced_memory()[1] < 100 * 1_024
    finally:
        tracemalloc.stop()


def test_byte_by_byte_is_linear() -> None:
    def cpu_seconds(length: int) -> float:
        pdu = encode_pdu(PduType.A_ASSOCIATE_RQ, bytes(length))
        framer, start = PduFramer(length, FROM_REQUESTOR), time.thread_time()
        for i in range(len(pdu)):
            framer.feed(pdu[i : i + 1])
        return time.thread_time() - start

    small = min(cpu_seconds(5_000) for _ in range(3))
    assert cpu_seconds(100_000) < 60 * small
