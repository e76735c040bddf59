"""The walk: what goes, what stands in the way, what is swallowed, and that chunking never matters."""

import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dimse.command import C_CANCEL, C_ECHO, C_FIND, C_MOVE, C_STORE, MAX_COMMAND_SET, N_ACTION, RESPONSE
from proxy.dimse.inspection import RefusedTooLate
from proxy.dimse.walk import LONGEST_HELD_BACK, MessageWalk
from proxy.pdu import encode_abort, encode_associate_rq, encode_p_data, encode_release_rq
from proxy.pdu.errors import InvalidPduParameter, PduError, UnexpectedPdu, UnrecognizedPdu
from tests.support.messages import (
    C_ECHO_MESSAGE,
    C_STORE_MESSAGE,
    COMMAND,
    LAST,
    command,
    encode_elements,
    fragments,
    inspection,
    message,
    one_pdu,
)
from tests.support.pdus import encode_release_rp

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
ALLOWED = frozenset({C_STORE, C_ECHO})  # C-FIND and C-MOVE are not
STORE, ECHO = command(C_STORE, data_set=True), command(C_ECHO)
FIND = command(C_FIND, 7, data_set=True)
DATA = encode_p_data(1, 0, b"x" * 100)


def walk(*, release_requested_by_other: bool = False) -> MessageWalk:
    shared = inspection(ALLOWED, ALLOWED | {N_ACTION})
    made = MessageWalk(frozenset({1, 3}), shared, from_requestor=True)
    made.opposite = MessageWalk(frozenset({1, 3}), shared, from_requestor=False)
    made.opposite.release_requested = release_requested_by_other
    return made


def run(made: MessageWalk, wire: bytes, step: int) -> tuple[bytes, PduError | None]:
    """Feed as the relay does: what was left over in front of the next chunk. What went, and the violation."""
    went, held = b"", b""
    for start in range(0, len(wire), step):
        data = held + wire[start : start + step]
        output, used, violation = made.feed(memoryview(data))
        went += output
        if violation is not None:
            return went, violation
        held = data[used:]
        assert len(held) <= LONGEST_HELD_BACK
    return went, None


GOOD = {
    "a command without data set": C_ECHO_MESSAGE,
    "a command and a data set": C_STORE_MESSAGE,
    "in many fragments": message(STORE, b"d" * 300, step=7),
    "an empty last fragment": message(STORE, b""),
    "a command and its data set in one PDU": one_pdu((1, 3, STORE), (1, 0, b"a" * 20), (1, 2, b"b" * 9)),
    "two messages in one PDU": one_pdu((1, 3, ECHO), (3, 3, ECHO)),
    "a data set's end and the next command in one PDU": encode_p_data(1, 3, STORE)
    + one_pdu((1, 2, b"x"), (3, 3, ECHO)),
    "two contexts in turn": C_STORE_MESSAGE + message(ECHO, context_id=3) + C_STORE_MESSAGE,
    "a message and a release": C_STORE_MESSAGE + encode_release_rq(),
    "a release inside a message": encode_p_data(1, 3, STORE) + encode_release_rq(),
    "abort": encode_abort(0, 0),
    "an abort inside a command set": encode_p_data(1, 1, ECHO[:20]) + encode_abort(0, 0),
    "an abort inside a data set": encode_p_data(1, 3, STORE) + DATA + encode_abort(0, 0),
    "reserved bytes are not tested": b"\x05\xff\x00\x00\x00\x04\xff\xff\xff\xff",
    "a command set as long as it may be": message(
        command(C_ECHO, more=[(0x5010, bytes(MAX_COMMAND_SET - len(ECHO) - 8))]), step=MAX_COMMAND_SET
    ),
    "a response": message(command(C_ECHO | RESPONSE)),
}


@pytest.mark.parametrize("step", [1, 2, 5, 6, 7, 11, 12, 13, 100_000])
@pytest.mark.parametrize("wire", GOOD.values(), ids=GOOD)
def test_what_is_allowed_goes_whole(wire: bytes, step: int) -> None:
    if len(wire) > 10_000 and step < 100:
        step *= 997
    made = walk()
    assert run(made, wire, step) == (wire, None)
    assert made.boundary
    assert not made.refused


BAD = {
    "an unknown type": (b"\x08\x00\x00\x00\x00\x04", UnrecognizedPdu),
    "type 0": (b"\x00", UnrecognizedPdu),
    "a second request": (encode_associate_rq("A", "B", [(1, VERIFICATION, [IMPLICIT])]), UnexpectedPdu),
    "an AC": (b"\x02", UnexpectedPdu),
    "an RJ": (b"\x03", UnexpectedPdu),
    "RP without RQ": (encode_release_rp(), UnexpectedPdu),
    "data behind RQ": (encode_release_rq() + C_ECHO_MESSAGE, UnexpectedPdu),
    "a second RQ": (encode_release_rq() * 2, UnexpectedPdu),
    "data behind an abort": (encode_abort(0, 0) + b"\x04", UnexpectedPdu),
    "P-DATA of length 0": (b"\x04\x00\x00\x00\x00\x00" + b"\x00" * 6, InvalidPduParameter),
    "P-DATA of length 5": (b"\x04\x00\x00\x00\x00\x05" + b"\x00" * 6, InvalidPduParameter),
    "PDV of length 0": (b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\x00\x01\x03", InvalidPduParameter),
    "PDV of length 1": (b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\x01\x01\x03", InvalidPduParameter),
    "an empty fragment that is not the last": (encode_p_data(1, 1, b""), InvalidPduParameter),
    "PDV over the PDU by one": (b"\x04\x00\x00\x00\x00\x08\x00\x00\x00\x05\x01\x03ab", InvalidPduParameter),
    "PDV of 4 GiB": (b"\x04\x00\x00\x00\x00\x08\xff\xff\xff\xff\x01\x03ab", InvalidPduParameter),
    "a context that was not accepted": (encode_p_data(5, 3, ECHO), InvalidPduParameter),
    "an even context": (encode_p_data(2, 3, ECHO), InvalidPduParameter),
    "context 0": (encode_p_data(0, 0, b"x"), InvalidPduParameter),
    "a release of length 5": (b"\x05\x00\x00\x00\x00\x05" + b"\x00" * 5, InvalidPduParameter),
    "a data set before its command set": (DATA, InvalidPduParameter),
    "a data set behind a command set without one": (C_ECHO_MESSAGE + DATA, InvalidPduParameter),
    "a command set that is none": (encode_p_data(1, 3, b"x" * 100), InvalidPduParameter),
    "an unknown command": (message(command(0x0040)), InvalidPduParameter),
    "a response that nobody could ask for": (message(command(C_FIND | RESPONSE)), InvalidPduParameter),
    "a command set over 64 KiB": (
        message(command(C_ECHO, more=[(0x5010, bytes(MAX_COMMAND_SET - len(ECHO) - 6))]), step=70_000),
        InvalidPduParameter,
    ),
    "a command set without end": (encode_p_data(1, 1, b"x" * 1000) * 100, InvalidPduParameter),
}
INSIDE = {
    "a command set inside a data set": (encode_p_data(1, 3, STORE) + DATA, encode_p_data(1, 3, ECHO)),
    "another context's data inside a data set": (encode_p_data(1, 3, STORE) + DATA, encode_p_data(3, 0, b"x")),
    "a data set inside a command set": (C_ECHO_MESSAGE, encode_p_data(1, 1, ECHO[:9]) + DATA),
    "another context's command inside a command set": (
        C_ECHO_MESSAGE,
        encode_p_data(1, 1, ECHO[:9]) + encode_p_data(3, 3, ECHO[9:]),
    ),
}


@pytest.mark.parametrize("step", [1, 3, 11, 10_000])
@pytest.mark.parametrize(("wire", "error"), BAD.values(), ids=BAD)
def test_a_violation_lets_the_valid_part_go_and_nothing_else(wire: bytes, error: type[PduError], step: int) -> None:
    if len(wire) > 10_000:
        step *= 997
    valid = C_STORE_MESSAGE * 2
    if wire.startswith(C_ECHO_MESSAGE):
        valid, wire = valid + C_ECHO_MESSAGE, wire[len(C_ECHO_MESSAGE) :]
    for pdu in (encode_release_rq(), encode_abort(0, 0)):
        if wire.startswith(pdu):
            valid, wire = valid + pdu, wire[len(pdu) :]
    went, violation = run(walk(), valid + wire, step)
    assert went == valid
    assert type(violation) is error


@pytest.mark.parametrize("step", [1, 3, 11, 10_000])
@pytest.mark.parametrize(("valid", "wrong"), INSIDE.values(), ids=INSIDE)
def test_messages_do_not_interleave(valid: bytes, wrong: bytes, step: int) -> None:
    went, violation = run(walk(), valid + wrong, step)
    assert went == valid
    assert isinstance(violation, InvalidPduParameter)


def test_a_release_is_answered_once() -> None:
    made = walk(release_requested_by_other=True)
    assert run(made, C_ECHO_MESSAGE + encode_release_rp(), 1)[1] is None
    assert made.release_answered
    assert isinstance(made.feed(memoryview(encode_release_rp()))[2], UnexpectedPdu)


def test_a_release_collision_is_answered_from_both_sides() -> None:
    made = walk(release_requested_by_other=True)
    assert run(made, encode_release_rq() + encode_release_rp(), 4)[1] is None
    assert made.release_requested and made.release_answered


def test_pdus_are_counted_by_type() -> None:
    made = walk()
    run(made, C_STORE_MESSAGE + C_ECHO_MESSAGE * 3 + encode_abort(0, 0), 9)
    assert made.pdus == [0, 0, 0, 0, 5, 0, 0, 1]


# --- what may not pass ------------------------------------------------------------------------------------------------

FIND_MESSAGE = message(FIND, b"q" * 500, step=100)
MOVE_COMMAND = command(C_MOVE, 3, destination="ELSEWHERE")
REFUSED: dict[str, tuple[bytes, bytes, list[int]]] = {  # what comes, what goes, the message ids refused
    "a message of many PDUs": (FIND_MESSAGE, b"", [7]),
    "between others": (C_ECHO_MESSAGE + FIND_MESSAGE + C_STORE_MESSAGE, C_ECHO_MESSAGE + C_STORE_MESSAGE, [7]),
    "command and data set in one PDU": (one_pdu((1, 3, FIND), (1, 2, b"q" * 90)) + C_ECHO_MESSAGE, C_ECHO_MESSAGE, [7]),
    "without data set": (message(MOVE_COMMAND) * 2, b"", [3, 3]),
    "an empty data set": (message(FIND, b"") + C_ECHO_MESSAGE, C_ECHO_MESSAGE, [7]),
    "the command set in small fragments": (message(FIND, b"q" * 9, step=5) + C_ECHO_MESSAGE, C_ECHO_MESSAGE, [7]),
    "another message behind it in its PDU": (
        one_pdu((1, 3, FIND), (1, 2, b"q" * 20), (3, 3, ECHO)),
        one_pdu((3, 3, ECHO)),
        [7],
    ),
    "a data set that begins behind it in its PDU": (
        one_pdu((1, 3, MOVE_COMMAND), (1, 3, STORE), (1, 0, b"a" * 30)) + encode_p_data(1, 2, b"b"),
        one_pdu((1, 3, STORE), (1, 0, b"a" * 30)) + encode_p_data(1, 2, b"b"),
        [3],
    ),
    "two of them and then a good one in one PDU": (
        one_pdu((1, 3, MOVE_COMMAND), (3, 3, FIND), (3, 2, b"q"), (1, 3, ECHO)),
        one_pdu((1, 3, ECHO)),
        [3, 7],
    ),
    "the next command set begins in its PDU and goes on in another": (
        one_pdu((1, 3, MOVE_COMMAND), (1, 1, ECHO[:30])) + encode_p_data(1, 3, ECHO[30:]),
        one_pdu((1, 1, ECHO[:30])) + encode_p_data(1, 3, ECHO[30:]),
        [3],
    ),
    "a release behind it": (FIND_MESSAGE + encode_release_rq(), encode_release_rq(), [7]),
    "a cancel": (message(command(C_CANCEL, 7)), b"", [7]),
}


@pytest.mark.parametrize("step", [1, 2, 5, 11, 12, 13, 10_000])
@pytest.mark.parametrize(("wire", "goes", "refused"), REFUSED.values(), ids=REFUSED)
def test_what_may_not_pass_is_swallowed(wire: bytes, goes: bytes, refused: list[int], step: int) -> None:
    made = walk()
    assert run(made, wire, step) == (goes, None)
    assert [one.command.message_id for one in made.refused] == refused
    assert made.boundary and made.between


def test_swallowing_tiny_fragments_takes_no_memory() -> None:
    made = walk()
    wire = memoryview(encode_p_data(3, 3, FIND) + one_pdu(*[(3, 0, b"q")] * 5_000))
    tracemalloc.start()
    try:
        output, used, violation = made.feed(wire)
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()
    assert (bytes(output), used, violation) == (b"", len(wire), None)


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_an_abort_inside_a_swallowed_message_goes_on(step: int) -> None:
    made = walk()
    wire = encode_p_data(1, 3, FIND) + encode_p_data(1, 0, b"q" * 50)
    assert run(made, wire + encode_abort(0, 0), step) == (encode_abort(0, 0), None)
    assert made.aborted and not made.refused


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("valid", "pdu"),
    [
        (b"", one_pdu((1, 3, ECHO), (1, 3, FIND), (1, 2, b"q"))),
        (encode_p_data(1, 3, STORE), one_pdu((1, 2, b"end"), (1, 3, MOVE_COMMAND))),
    ],
)
def test_what_may_not_pass_in_a_pdu_that_has_begun_to_go_is_a_violation(valid: bytes, pdu: bytes, step: int) -> None:
    made = walk()
    went, violation = run(made, valid + pdu, step)
    assert isinstance(violation, RefusedTooLate)
    first = 6 + 4 + int.from_bytes(pdu[6:10], "big")
    assert went == valid + pdu[:first], "the part before it goes, so that chunking changes nothing"
    assert not made.boundary


def test_at_the_place_of_an_answer_it_stops_if_asked_to() -> None:
    made = walk()
    wire = C_STORE_MESSAGE + C_ECHO_MESSAGE
    made.feed(memoryview(wire[:500]))
    assert not made.between
    made.stop_between = True
    output, used, violation = made.feed(memoryview(wire[500:]))
    assert (bytes(output), used, violation) == (C_STORE_MESSAGE[500:], len(C_STORE_MESSAGE) - 500, None)
    assert made.between
    made.stop_between = False
    assert run(made, C_ECHO_MESSAGE, 10_000) == (C_ECHO_MESSAGE, None)


def test_a_message_of_ours_can_stand_between_messages_only() -> None:
    made = walk()
    wire = one_pdu((1, 3, STORE), (1, 0, b"a" * 10)) + encode_p_data(1, 2, b"b" * 10)
    places = []
    held = b""
    for index in range(len(wire)):
        data = held + wire[index : index + 1]
        _, used, _ = made.feed(memoryview(data))
        held = data[used:]
        if made.between:
            places.append(index)
    command_whole = 12 + len(STORE)
    assert places == [*range(command_whole - 1), len(wire) - 1]


@pytest.mark.parametrize("pdu", [encode_abort(0, 0), encode_release_rq()])
def test_a_message_of_ours_cannot_stand_behind_a_part_of_a_command_set(pdu: bytes) -> None:
    made = walk()
    wire = encode_p_data(1, COMMAND, ECHO[:20]) + pdu
    output, used, _ = made.feed(memoryview(wire[:-1]))
    assert (bytes(output), used) == (b"", 0)
    assert run(made, wire, len(wire)) == (wire, None)


@pytest.mark.parametrize(
    ("wire", "more"),
    [
        (C_ECHO_MESSAGE, False),
        (C_STORE_MESSAGE, False),
        (C_STORE_MESSAGE[:-1], True),
        (encode_p_data(1, 3, STORE), True),
        (encode_p_data(1, 1, ECHO[:8]), True),
        (message(command(C_ECHO | RESPONSE)), False),
        (message(command(C_STORE | RESPONSE, status=0xFF00)), True),
        (message(command(N_ACTION | RESPONSE)), True),
    ],
)
def test_it_knows_whether_the_sender_has_more_to_say(wire: bytes, more: bool) -> None:
    made = walk()
    made.feed(memoryview(wire))
    assert made.awaits_more is more


# --- any chunking, any grouping ---------------------------------------------------------------------------------------

messages = st.lists(
    st.tuples(
        st.sampled_from((C_STORE, C_ECHO, C_FIND, C_CANCEL, C_ECHO | RESPONSE)),
        st.sampled_from((1, 3)),
        st.none() | st.binary(max_size=40),
        st.integers(3, 60),
    ),
    max_size=6,
)


def pdvs_of(wanted: Iterable[tuple[int, int, bytes | None, int]]) -> list[tuple[int, int, bytes]]:
    """The PDVs of messages: (field, context, data set, fragment size)."""
    return [
        (context_id, control, fragment)
        for number, (field, context_id, data_set, step) in enumerate(wanted)
        for control, fragment in fragments(command(field, number, data_set=data_set is not None), data_set, step)
    ]


def messages_in(wire: bytes) -> list[tuple[int, bytes, bytes]]:
    """(context, command set, data set) of every whole message, read PDV by PDV."""
    found, encoded, data = [], b"", b""
    position = 0
    while position < len(wire):
        end = position + 6 + int.from_bytes(wire[position + 2 : position + 6], "big")
        position += 6
        while position < end:
            length = int.from_bytes(wire[position : position + 4], "big")
            context_id, control = wire[position + 4 : position + 6]
            fragment = wire[position + 6 : position + 4 + length]
            position += 4 + length
            if control & COMMAND:
                encoded += fragment
            else:
                data += fragment
            more = b"\0\0\0\x08\x02\0\0\0\0\0" in encoded  # Command Data Set Type: there is one
            if control & LAST and not (control & COMMAND and more):
                found.append((context_id, encoded, data))
                encoded, data = b"", b""
        assert position == end
    return found


@given(messages, st.data())
def test_any_chunking_gives_the_same_and_only_what_is_allowed(
    wanted: list[tuple[int, int, bytes | None, int]], data: st.DataObject
) -> None:
    pdvs = pdvs_of(wanted)
    wire = b""
    while pdvs:
        count = data.draw(st.integers(1, min(4, len(pdvs))))
        wire += one_pdu(*pdvs[:count])
        pdvs = pdvs[count:]
    whole, sliced = walk(), walk()
    went, violation = run(whole, wire, max(len(wire), 1))
    again, error = run(sliced, wire, data.draw(st.integers(1, 50)))
    assert (again, type(error)) == (went, type(violation))
    assert sliced.refused == whole.refused
    assert sliced.pdus == whole.pdus
    if violation is None:
        allowed = {C_STORE, C_ECHO, C_ECHO | RESPONSE}
        expected = [
            (context_id, command(field, number, data_set=data_set is not None), data_set or b"")
            for number, (field, context_id, data_set, _) in enumerate(wanted)
            if field in allowed
        ]
        assert messages_in(went) == expected
        assert [one.command.message_id for one in whole.refused] == [
            number for number, (field, *_) in enumerate(wanted) if field not in allowed
        ]
    else:
        assert isinstance(violation, RefusedTooLate)


@given(st.binary(max_size=200), st.integers(1, 30))
def test_any_bytes_end_in_a_documented_error_or_none(tail: bytes, step: int) -> None:
    wire = C_ECHO_MESSAGE + b"\x04\x00" + tail
    whole, sliced = walk(), walk()
    went, violation = run(whole, wire, len(wire))
    again, error = run(sliced, wire, step)
    assert (again, type(error)) == (went, type(violation))


@given(st.lists(st.tuples(st.sampled_from((0, 2, 3, 0x100, 0x110, 0x120, 0x600, 0x800, 0x900)), st.binary(max_size=6))))
def test_any_elements_end_in_a_documented_error_or_none(elements: list[tuple[int, bytes]]) -> None:
    run(walk(), message(encode_elements(elements)), 1000)
