"""Rows 76 and 78: messages and command sets that are none, on an association which the PACS accepted."""

import pytest

from proxy.dimse.command import C_ECHO, C_FIND, C_STORE, MAX_COMMAND_SET, RESPONSE
from proxy.pdu.encode import encode_p_data, encode_pdu, encode_release_rq
from tests.bad_inputs.case import Case
from tests.bad_inputs.violations import pdv, violates
from tests.support.messages import begun, command, encode_elements, message, stored

ECHO = command(C_ECHO, sop_class="1.2.840.10008.1.1")


def echo_with(*elements: tuple[int, bytes]) -> bytes:
    """A C-ECHO-RQ with these elements as well, or instead."""
    there = {0x0002: b"1.2.840.10008.1.1\0", 0x0100: b"\x30\0", 0x0110: b"\1\0", 0x0800: b"\1\1"} | dict(elements)
    return encode_elements(sorted(there.items()))


def test_row_076_command_in_pdvs_of_one_byte(case: Case) -> None:
    """A legal command set is passed on as it came, in one PDU and in many."""
    fragments = [pdv(1, 1 if at < len(ECHO) - 1 else 3, ECHO[at : at + 1]) for at in range(len(ECHO))]
    peer = case.associated("FRAGMENTS")
    side = case.pacs.side("FRAGMENTS")
    data = encode_pdu(4, b"".join(fragments)) + b"".join(encode_pdu(4, fragment) for fragment in fragments)
    for at in range(0, len(data), 5):
        peer.send(data[at : at + 5])
    case.released(peer)
    assert side.wait_end() == data + encode_release_rq()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encode_pdu(4, pdv(1, 1) * 1_000_000), id="a million empty PDVs"),
        pytest.param(encode_pdu(4, pdv(1, 2) * 100_000), id="empty last fragments"),
        pytest.param(encode_p_data(1, 1, bytes(1000)) * 100, id="a command set without end"),
        pytest.param(encode_pdu(4, pdv(1, 1, b"x") * 20_000), id="one byte at a time without end"),
        pytest.param(encode_p_data(1, 0, b"x" * 100), id="a data set before its command set"),
        pytest.param(message(ECHO) + encode_p_data(1, 2, b"x" * 100), id="a data set where none was announced"),
        pytest.param(message(command(C_ECHO, more=[(0x5010, bytes(MAX_COMMAND_SET))]), step=70_000), id="over 64 KiB"),
    ],
)
def test_row_076_messages_that_are_none(case: Case, data: bytes) -> None:
    before = message(ECHO) if data.startswith(message(ECHO)) else b""
    violates(case, data[len(before) :], "2/6", "pdu_invalid", before=stored(bytes(100)) + before)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encode_p_data(1, 3, ECHO), id="a command set inside a data set"),
        pytest.param(encode_p_data(7, 0, b"x" * 100), id="another context's data"),
        pytest.param(
            encode_p_data(1, 2, b"") + encode_p_data(1, 1, ECHO[:9]) + encode_p_data(1, 2, b"x"), id="data inside"
        ),
    ],
)
def test_row_076_interleaved(case: Case, data: bytes) -> None:
    valid = encode_p_data(1, 2, b"") if data.startswith(encode_p_data(1, 2, b"")) else b""
    open_message = begun() + encode_p_data(1, 0, b"y" * 50) + valid
    violates(case, data[len(valid) :], "2/6", "pdu_invalid", before=open_message)


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(ECHO[:-1], id="an element past the end"),
        pytest.param(ECHO[:-4], id="cut inside an element header"),
        pytest.param(b"\0\0\0\0\4\0\0\0" + bytes(4) + ECHO[12:], id="group length 0"),
        pytest.param(ECHO[:8] + (len(ECHO) - 11).to_bytes(4, "little") + ECHO[12:], id="group length over by one"),
        pytest.param(ECHO[12:], id="no group length"),
        pytest.param(ECHO[:12] + b"\0\0\2\0\xff\xff\xff\xff" + ECHO[20:], id="4 GiB declared"),
        pytest.param(echo_with((0x0100, b"\x40\0")), id="unknown command field"),
        pytest.param(echo_with((0x0100, b"\x30")), id="odd length"),
        pytest.param(echo_with((0x0100, b"\x30\0\0\0")), id="command field of four bytes"),
        pytest.param(echo_with((0x0002, b"1." + b"1" * 63 + b"\0")), id="affected UID of 65 bytes"),
        pytest.param(encode_elements([(0x0002, b"1.2\0"), (0x0100, b"\x30\0"), (0x0800, b"\1\1")]), id="no message id"),
        pytest.param(
            encode_elements([(0x0002, b"1.2\0"), (0x0110, b"\1\0"), (0x0800, b"\1\1")]), id="no command field"
        ),
        pytest.param(encode_elements([(0x0100, b"\x30\0"), (0x0110, b"\1\0")]), id="no data set type"),
        pytest.param(ECHO[:12] + ECHO[12:] * 2, id="everything twice"),
        pytest.param(ECHO.replace(b"\0\0\2\0", b"\x08\0\2\0", 1), id="an element of group 0008"),
        pytest.param(command(0x0021), id="C-MOVE without destination"),
        pytest.param(b"\xff" * 200, id="noise"),
    ],
)
def test_row_078_command_sets_that_are_none(case: Case, encoded: bytes) -> None:
    violates(case, message(encoded), "2/6", "pdu_invalid", before=message(ECHO))


@pytest.mark.parametrize("field", [C_ECHO | RESPONSE, C_STORE | RESPONSE, C_FIND | RESPONSE])
def test_row_078_answers_to_nothing_pass(case: Case, field: int) -> None:
    """A peer with the SCP role may answer; only the PACS knows whether it was asked."""
    peer = case.associated("ANSWERS")
    side = case.pacs.side("ANSWERS")
    data = message(command(field))
    peer.send(data)
    case.released(peer)
    assert side.wait_end() == data + encode_release_rq()
