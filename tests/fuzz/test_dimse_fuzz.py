"""DIMSE from any bytes, cut anywhere: the same bytes are forwarded, and nothing that policy forbids."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from proxy.dimse.command import NO_DATA_SET, REQUESTS, RESPONSE, encode_command
from proxy.pdu import encode_abort, encode_p_data, encode_release_rq
from tests.fuzz.dimse_properties import ALLOWED, CT, MOVE, VERIFICATION, WORKLIST, check_command, check_stream
from tests.support.messages import encode_elements, fragments, one_pdu
from tests.support.pdus import encode_release_rp

FIND, PRIVATE = "1.2.840.10008.5.1.4.1.2.2.1", "1.3.12.2.1107.5.9.1"
SOP_CLASSES = (CT, VERIFICATION, MOVE, WORKLIST, FIND, PRIVATE)
TITLES = (b"ROOM1_WS", b"EVIL", b"EVIL\0_WS", b"A\\B_WS", b"\0_WS", b"_WS ", b" X_WS\0", b"A_TITLE_OF_20_____WS")

fields = st.sampled_from([*REQUESTS, *(field | RESPONSE for field in REQUESTS), 0, 0x40])
classes = st.sampled_from(SOP_CLASSES).map(str.encode)
paddings = st.sampled_from((b"", b"\0", b" ", b"\0\0", b"\0" + FIND.encode()))
types = st.sampled_from((NO_DATA_SET, NO_DATA_SET, 0, 1, 0x0102))


def even(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)


def uint16(value: int) -> bytes:
    return struct.pack("<H", value)


#: Element -> values that are mostly sound.
VALUES = {
    0x0002: st.builds(lambda uid, padding: even(uid + padding), classes, paddings),
    0x0003: classes.map(even),
    0x0100: fields.map(uint16),
    0x0110: st.integers(0, 9).map(uint16),
    0x0120: st.integers(0, 9).map(uint16),
    0x0600: st.sampled_from(TITLES).map(even),
    0x0800: types.map(uint16),
    0x0900: st.sampled_from((0, 0xFF00, 0xB000, 0xA700)).map(uint16),
    0x1000: st.just(b"1.2.3\0"),
}
USUAL = (0x0002, 0x0100, 0x0110, 0x0800)


@st.composite
def sound_commands(draw: st.DrawFn) -> tuple[int, bytes, bool]:
    """Context id, command set, and whether a data set follows: mostly what the context is for."""
    context_id = draw(st.sampled_from(tuple(ALLOWED)))
    field = draw(st.sampled_from(sorted(ALLOWED[context_id][0])) | fields)
    tags = {*USUAL, *draw(st.sets(st.sampled_from((0x0003, 0x0120, 0x0600, 0x0900, 0x1000))))}
    elements = {tag: draw(VALUES[tag]) for tag in sorted(tags)} | {0x0100: uint16(field)}
    if draw(st.booleans()):
        elements[0x0002] = even({1: CT, 3: VERIFICATION, 5: MOVE, 7: WORKLIST}[context_id].encode())
    return context_id, encode_elements(sorted(elements.items())), elements[0x0800] != uint16(NO_DATA_SET)


@st.composite
def messages(draw: st.DrawFn) -> list[tuple[int, int, bytes]]:
    """The PDVs of one message."""
    context_id, encoded, follows = draw(sound_commands())
    data_set = draw(st.binary(max_size=30)) if follows else None
    step = draw(st.sampled_from((3, 20, 1000)))
    return [(context_id, control, fragment) for control, fragment in fragments(encoded, data_set, step)]


odd_pdvs = st.tuples(st.integers(0, 9), st.integers(0, 7), st.binary(max_size=12)).map(lambda pdv: [pdv])
short_pdus = st.sampled_from((encode_release_rq(), encode_release_rp(), encode_abort(0, 0)))


@st.composite
def wires(draw: st.DrawFn) -> bytes:
    """Messages in any grouping of PDVs, with a fault or without, followed by other PDUs or not."""
    pdvs = [pdv for group in draw(st.lists(messages() | messages() | odd_pdvs, max_size=5)) for pdv in group]
    wire = b""
    while pdvs:
        count = draw(st.integers(1, 4))
        wire += one_pdu(*pdvs[:count])
        pdvs = pdvs[count:]
    wire += b"".join(draw(st.lists(short_pdus | st.binary(max_size=8), max_size=2)))
    if wire and draw(st.booleans()):
        at = draw(st.integers(0, len(wire) - 1))
        wire = wire[:at] + draw(st.binary(max_size=2)) + wire[at + draw(st.integers(0, 3)) :]
    return wire


@given(wires(), st.lists(st.integers(1, 2000), max_size=40))
def test_any_stream_in_any_chunks(wire: bytes, cuts: list[int]) -> None:
    check_stream(wire, cuts)


@given(wires())
def test_any_stream_byte_by_byte(wire: bytes) -> None:
    check_stream(wire, range(len(wire)))


@given(st.binary(max_size=120), st.integers(1, 30))
def test_any_bytes_behind_a_header(tail: bytes, step: int) -> None:
    wire = encode_p_data(1, 3, tail)
    check_stream(wire + tail, range(0, len(wire), step))


@given(sound_commands(), st.data())
def test_any_command_set(made: tuple[int, bytes, bool], data: st.DataObject) -> None:
    encoded = made[1]
    at = data.draw(st.integers(0, len(encoded)))
    check_command(encoded)
    check_command(encoded[:at] + data.draw(st.binary(max_size=4)) + encoded[at:])
    check_command(encoded[:at] + encoded[at + 1 :])


@given(st.lists(st.tuples(st.sampled_from((0, *VALUES)), st.binary(max_size=6))))
def test_any_elements(elements: list[tuple[int, bytes]]) -> None:
    check_command(encode_elements(elements))


@given(st.sampled_from(sorted(REQUESTS)), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_what_we_encode_is_read_alike(field: int, message_id: int, status: int) -> None:
    check_command(encode_command(field, message_id, sop_class=CT.encode() + b"\0"))
    check_command(encode_command(field | RESPONSE, message_id, status))
