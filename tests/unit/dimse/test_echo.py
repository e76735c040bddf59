"""The command sets of C-ECHO, against pydicom's encoder and against damage."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dimse.command import DimseError, decode_command
from proxy.dimse.echo import decode_c_echo_rsp, encode_c_echo_rq

RESPONSE = bytes.fromhex(
    "00000000 04000000 42000000"
    "00000200 12000000 312e322e3834302e31303030382e312e3100"
    "00000001 02000000 3080"
    "00002001 02000000 0700"
    "00000008 02000000 0101"
    "00000009 02000000 0000"
)


def test_request_is_what_pynetdicom_sends() -> None:
    from pynetdicom.dimse_messages import C_ECHO_RQ
    from pynetdicom.dimse_primitives import C_ECHO

    primitive = C_ECHO()
    primitive.MessageID = 7
    primitive.AffectedSOPClassUID = "1.2.840.10008.1.1"
    message = C_ECHO_RQ()
    message.primitive_to_message(primitive)
    [pdata] = message.encode_msg(1, 16_384)
    [[_, fragment]] = pdata.presentation_data_value_list
    assert bytes([3]) + encode_c_echo_rq(7) == fragment


def test_status_is_read() -> None:
    assert decode_c_echo_rsp(RESPONSE, 7) == 0
    assert decode_c_echo_rsp(RESPONSE[:-2] + b"\x22\x01", 7) == 0x0122


def test_elements_of_other_groups_may_stand_behind_a_response() -> None:
    detail = bytes.fromhex("08000000 04000000 0c000000 08005800 04000000 312e3200")
    assert decode_c_echo_rsp(RESPONSE + detail, 7) == 0
    for damaged in (detail[:-1], detail + b"\0", detail + RESPONSE[-10:]):
        with pytest.raises(DimseError, match=r"\(0008,0000\) in a command set"):
            decode_c_echo_rsp(RESPONSE + damaged, 7)
    with pytest.raises(DimseError, match=r"\(0008,0000\) in a command set"):
        decode_command(encode_c_echo_rq(7) + detail)


@pytest.mark.parametrize(
    ("command", "message_id", "words"),
    [
        (RESPONSE, 8, "response to message 7, 8 was sent"),
        (RESPONSE.replace(b"\x30\x80", b"\x01\x80"), 7, "command field 8001H"),
        (RESPONSE[:-10], 7, "group length 66 of a command set of 56 bytes"),
        (RESPONSE[:-1], 7, "longer than the command set"),
        (RESPONSE + b"\0\0", 7, "ends inside an element header"),
        (RESPONSE + RESPONSE[-10:], 7, r"\(0000,0900\) twice"),
        (RESPONSE + b"\x08\0\0\0\x02\0\0\0", 7, r"\(0008,0000\) in a command set"),
        (RESPONSE.replace(b"\0\x09\2\0\0\0\0\0", b"\0\x09\0\0\0\0").replace(b"\x42", b"\x40"), 7, "not two bytes"),
        (b"", 7, "does not begin with its group length"),
        (b"\0\0\0\1\xff\xff\xff\xff", 7, "longer than the command set"),
    ],
)
def test_anything_else_is_a_dimse_error(command: bytes, message_id: int, words: str) -> None:
    with pytest.raises(DimseError, match=words):
        decode_c_echo_rsp(command, message_id)


@given(st.binary(max_size=64), st.integers(0, len(RESPONSE)))
def test_damage_only_raises_dimse_errors(noise: bytes, at: int) -> None:
    with contextlib.suppress(DimseError):
        decode_c_echo_rsp(RESPONSE[:at] + noise + RESPONSE[at + len(noise) :], 7)
