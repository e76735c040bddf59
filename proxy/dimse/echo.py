"""C-ECHO (PS3.7 section 9.3.5): the request's command set, and the status out of the response's. Pure."""

import struct

VERIFICATION_SOP_CLASS = "1.2.840.10008.1.1"
IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"

C_ECHO_RQ = 0x0030
C_ECHO_RSP = 0x8030
NO_DATA_SET = 0x0101

#: A command set is a few hundred bytes; longer is not one (design section 4 holds back as much).
MAX_COMMAND_SET = 64 * 1024

_GROUP_LENGTH, _AFFECTED_SOP_CLASS_UID, _COMMAND_FIELD = 0x0000, 0x0002, 0x0100
_MESSAGE_ID, _MESSAGE_ID_RESPONDED_TO, _DATA_SET_TYPE, _STATUS = 0x0110, 0x0120, 0x0800, 0x0900
_ELEMENT = struct.Struct("<HHL")  # group, element, length: Implicit VR Little Endian whatever was negotiated (6.3.1)


class DimseError(Exception):
    """The peer broke PS3.7. The message is safe to log."""


def encode_c_echo_rq(message_id: int) -> bytes:
    """The command set of a C-ECHO-RQ (PS3.7 Table 9.3-12)."""
    uid = VERIFICATION_SOP_CLASS.encode()
    body = _element(_AFFECTED_SOP_CLASS_UID, uid + b"\0" * (len(uid) % 2))
    for tag, value in ((_COMMAND_FIELD, C_ECHO_RQ), (_MESSAGE_ID, message_id), (_DATA_SET_TYPE, NO_DATA_SET)):
        body += _element(tag, value.to_bytes(2, "little"))
    return _element(_GROUP_LENGTH, len(body).to_bytes(4, "little")) + body


def decode_c_echo_rsp(command: bytes, message_id: int) -> int:
    """The status of a complete C-ECHO-RSP command set (PS3.7 Table 9.3-13). Raises DimseError for anything else."""
    values: dict[int, bytes] = {}
    offset = 0
    while offset < len(command):
        if offset + _ELEMENT.size > len(command):
            raise DimseError("command set ends inside an element header")
        group, element, length = _ELEMENT.unpack_from(command, offset)
        offset += _ELEMENT.size
        if group != 0:
            raise DimseError(f"element ({group:04X},{element:04X}) in a command set")
        if length > len(command) - offset:
            raise DimseError(f"element (0000,{element:04X}) is longer than the command set")
        if element in values:
            raise DimseError(f"element (0000,{element:04X}) twice")
        values[element] = command[offset : offset + length]
        offset += length
    field = _uint16(values, _COMMAND_FIELD)
    if field != C_ECHO_RSP:
        raise DimseError(f"command field {field:04X}H instead of a C-ECHO response")
    if (answered := _uint16(values, _MESSAGE_ID_RESPONDED_TO)) != message_id:
        raise DimseError(f"response to message {answered}, {message_id} was sent")
    return _uint16(values, _STATUS)


def _element(element: int, value: bytes) -> bytes:
    return _ELEMENT.pack(0, element, len(value)) + value


def _uint16(values: dict[int, bytes], element: int) -> int:
    value = values.get(element)
    if value is None or len(value) != 2:
        raise DimseError(f"element (0000,{element:04X}) is missing or not two bytes")
    return int.from_bytes(value, "little")
