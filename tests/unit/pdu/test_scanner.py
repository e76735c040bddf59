"""The scanner: what may go, what stands in the way, and that chunking never matters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.pdu import encode_abort, encode_associate_rq, encode_p_data, encode_release_rp, encode_release_rq
from proxy.pdu.errors import InvalidPduParameter, PduError, UnexpectedPdu, UnrecognizedPdu
from proxy.pdu.scanner import LONGEST_HEADER, PduScanner

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"


def scanner(*, release_requested_by_other: bool = False) -> PduScanner:
    made = PduScanner(frozenset({1, 3}))
    made.opposite = PduScanner(frozenset({1, 3}))
    made.opposite.release_requested = release_requested_by_other
    return made


def run(made: PduScanner, wire: bytes, step: int) -> tuple[bytes, PduError | None]:
    """Feed as the relay does: what was left over in front of the next chunk. What went, and the violation."""
    went, held = b"", b""
    for start in range(0, len(wire), step):
        data = held + wire[start : start + step]
        allowed, violation = made.feed(memoryview(data))
        went += data[:allowed]
        if violation is not None:
            return went, violation
        held = data[allowed:]
        assert len(held) < LONGEST_HEADER
    return went, None


def two_pdvs(first: bytes, second: bytes) -> bytes:
    a, b = encode_p_data(1, 3, first)[6:], encode_p_data(3, 2, second)[6:]
    return b"\x04\x00" + (len(a) + len(b)).to_bytes(4, "big") + a + b


GOOD = {
    "one PDV": encode_p_data(1, 3, b"x" * 100),
    "one byte": encode_p_data(1, 2, b"x"),
    "two PDVs": two_pdvs(b"x" * 10, b"y" * 20),
    "an empty last fragment": encode_p_data(1, 2, b""),
    "several PDUs": encode_p_data(1, 3, b"c" * 70) + encode_p_data(1, 0, b"d" * 300) + encode_p_data(1, 2, b"e" * 7),
    "data and release": encode_p_data(1, 2, b"x" * 9) + encode_release_rq(),
    "abort": encode_abort(0, 0),
    "reserved bytes are not tested": b"\x05\xff\x00\x00\x00\x04\xff\xff\xff\xff",
}


@pytest.mark.parametrize("step", [1, 2, 5, 6, 7, 11, 12, 13, 10_000])
@pytest.mark.parametrize("wire", GOOD.values(), ids=GOOD)
def test_what_the_state_allows_goes_whole(wire: bytes, step: int) -> None:
    made = scanner()
    assert run(made, wire, step) == (wire, None)
    assert made.boundary


BAD = {
    "an unknown type": (b"\x08\x00\x00\x00\x00\x04", UnrecognizedPdu),
    "type 0": (b"\x00", UnrecognizedPdu),
    "a second request": (encode_associate_rq("A", "B", [(1, VERIFICATION, [IMPLICIT])]), UnexpectedPdu),
    "an AC": (b"\x02", UnexpectedPdu),
    "an RJ": (b"\x03", UnexpectedPdu),
    "RP without RQ": (encode_release_rp(), UnexpectedPdu),
    "data behind RQ": (encode_release_rq() + encode_p_data(1, 3, b"x"), UnexpectedPdu),
    "a second RQ": (encode_release_rq() * 2, UnexpectedPdu),
    "data behind an abort": (encode_abort(0, 0) + b"\x04", UnexpectedPdu),
    "P-DATA of length 0": (b"\x04\x00\x00\x00\x00\x00" + b"\x00" * 6, InvalidPduParameter),
    "P-DATA of length 5": (b"\x04\x00\x00\x00\x00\x05" + b"\x00" * 6, InvalidPduParameter),
    "PDV of length 0": (b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\x00\x01\x03", InvalidPduParameter),
    "PDV of length 1": (b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\x01\x01\x03", InvalidPduParameter),
    "an empty fragment that is not the last": (encode_p_data(1, 0, b""), InvalidPduParameter),
    "PDV over the PDU by one": (b"\x04\x00\x00\x00\x00\x08\x00\x00\x00\x05\x01\x03ab", InvalidPduParameter),
    "PDV of 4 GiB": (b"\x04\x00\x00\x00\x00\x08\xff\xff\xff\xff\x01\x03ab", InvalidPduParameter),
    "a context that was not accepted": (encode_p_data(5, 3, b"x"), InvalidPduParameter),
    "an even context": (encode_p_data(2, 3, b"x"), InvalidPduParameter),
    "a release of length 5": (b"\x05\x00\x00\x00\x00\x05" + b"\x00" * 5, InvalidPduParameter),
    "rest too short for a PDV": (b"\x04\x00\x00\x00\x00\x0a\x00\x00\x00\x03\x01\x03x\x00\x00\x00", InvalidPduParameter),
}


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize(("wire", "error"), BAD.values(), ids=BAD)
def test_what_it_does_not_allow_is_a_violation(wire: bytes, error: type[PduError], step: int) -> None:
    valid = encode_p_data(1, 3, b"v" * 50)
    made = scanner()
    went, violation = run(made, valid + wire, step)
    assert type(violation) is error
    assert went.startswith(valid)


def test_the_valid_part_of_a_pdu_goes_before_its_violation() -> None:
    first, second = encode_p_data(1, 3, b"x" * 10)[6:], encode_p_data(9, 3, b"y" * 10)[6:]
    header = b"\x04\x00" + (len(first) + len(second)).to_bytes(4, "big")
    made = scanner()
    went, violation = run(made, header + first + second, 10_000)
    assert went == header + first
    assert isinstance(violation, InvalidPduParameter)
    assert not made.boundary
    assert made.pdu_left == len(second)


def test_a_release_is_answered_once() -> None:
    made = scanner(release_requested_by_other=True)
    went, violation = run(made, encode_p_data(1, 2, b"x") + encode_release_rp() + encode_release_rp(), 10_000)
    assert went == encode_p_data(1, 2, b"x") + encode_release_rp()
    assert isinstance(violation, UnexpectedPdu)
    assert made.release_answered


def test_a_release_collision_passes() -> None:
    made = scanner(release_requested_by_other=True)
    wire = encode_release_rq() + encode_release_rp()
    assert run(made, wire, 3) == (wire, None)


def test_pdus_are_counted_by_type() -> None:
    made = scanner()
    run(made, GOOD["several PDUs"] + two_pdvs(b"a", b"b") + encode_release_rq(), 4)
    assert made.pdus == [0, 0, 0, 0, 4, 1, 0, 0]


def test_counters_do_not_wrap() -> None:
    made = scanner()
    header = b"\x04\x00\xff\xff\xff\xfe\xff\xff\xff\xfa\x01\x02"
    assert made.feed(memoryview(header)) == (12, None)
    assert made.pdu_left == 0xFFFFFFF8
    made.pdus[4] = 2**32
    chunk = memoryview(bytes(1 << 20))
    for _ in range(4095):
        made.feed(chunk)
    assert made.pdu_left == (1 << 20) - 8
    assert made.feed(memoryview(bytes((1 << 20) - 8) + encode_p_data(1, 2, b"x"))) == ((1 << 20) - 8 + 13, None)
    assert made.pdus[4] == 2**32 + 1


PDUS = st.one_of(
    st.builds(encode_p_data, st.sampled_from([1, 3, 5]), st.integers(0, 255), st.binary(max_size=40)),
    st.just(encode_release_rq()),
    st.just(encode_release_rp()),
    st.just(encode_abort(2, 1)),
    st.binary(max_size=20),
)


@given(st.lists(PDUS, max_size=6).map(b"".join), st.integers(1, 40))
def test_chunking_changes_neither_bytes_nor_outcome(wire: bytes, step: int) -> None:
    whole, sliced = scanner(), scanner()
    went, violation = run(whole, wire, max(1, len(wire)))
    went_sliced, violation_sliced = run(sliced, wire, step)
    assert (went, type(violation)) == (went_sliced, type(violation_sliced))
    assert whole.pdus == sliced.pdus
    assert whole.pdu_left == sliced.pdu_left
