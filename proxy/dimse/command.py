"""Command sets (PS3.7 section 6.3.1 and annex E): reading those of the peers, and encoding the gateway's own.

A command set is Implicit VR Little Endian, whatever transfer syntax its presentation context has. Anything that two
parsers could read differently (a repeated element, a wrong group length) is an error: the upstream must read the very
command that was judged.
"""

import struct
from dataclasses import dataclass

NO_DATA_SET = 0x0101  # Command Data Set Type (0000,0800); with any other value a data set follows
RESPONSE = 0x8000  # the bit of the command field that makes a response of a request (PS3.7 Table E.1-1)
C_STORE, C_GET, C_FIND, C_MOVE, C_ECHO = 0x0001, 0x0010, 0x0020, 0x0021, 0x0030
N_EVENT_REPORT, N_GET, N_SET, N_ACTION, N_CREATE, N_DELETE = 0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0150
C_CANCEL = 0x0FFF

#: PS3.7 Table E.1-1: command field of each request -> its name.
REQUESTS: dict[int, str] = {
    C_STORE: "C-STORE",
    C_GET: "C-GET",
    C_FIND: "C-FIND",
    C_MOVE: "C-MOVE",
    C_ECHO: "C-ECHO",
    N_EVENT_REPORT: "N-EVENT-REPORT",
    N_GET: "N-GET",
    N_SET: "N-SET",
    N_ACTION: "N-ACTION",
    N_CREATE: "N-CREATE",
    N_DELETE: "N-DELETE",
    C_CANCEL: "C-CANCEL",
}
NOT_AUTHORIZED = 0x0124  # PS3.7 annex C.5.10
MOVE_DESTINATION_UNKNOWN = 0xA801  # PS3.4 Table C.4-2

#: A command set is a few hundred bytes; the walk holds back as much as this until one is complete (invariant 5,
#: docs/architecture.md).
MAX_COMMAND_SET = 64 * 1024

_GROUP_LENGTH, _COMMAND_FIELD, _DATA_SET_TYPE, _STATUS = 0x0000, 0x0100, 0x0800, 0x0900
_AFFECTED_SOP_CLASS, _REQUESTED_SOP_CLASS = 0x0002, 0x0003
_AFFECTED_SOP_INSTANCE, _REQUESTED_SOP_INSTANCE = 0x1000, 0x1001
_MESSAGE_ID, _RESPONDED_TO, _MOVE_DESTINATION = 0x0110, 0x0120, 0x0600
_NAMES = {
    _COMMAND_FIELD: "Command Field",
    _MESSAGE_ID: "Message ID",
    _RESPONDED_TO: "Message ID Being Responded To",
    _DATA_SET_TYPE: "Command Data Set Type",
    _STATUS: "Status",
}
_LONGEST_UID = 64
_ELEMENT = struct.Struct("<HHL")  # group, element, length
_HEADER = _ELEMENT.size
# Requests on an existing instance name it as "requested"; the response names it as "affected" (PS3.7 section 10.3).
_ON_REQUESTED_INSTANCE = frozenset({N_GET, N_SET, N_ACTION, N_DELETE})
_KNOWN = frozenset(REQUESTS) | {field | RESPONSE for field in REQUESTS if field != C_CANCEL}


class DimseError(Exception):
    """The peer broke PS3.7. The message is safe to log."""


@dataclass(slots=True)
class Command:
    """One command set. `message_id`: of the request itself, or of the request that a response or C-CANCEL-RQ refers to.

    `status` is None in requests. UIDs are as received, with their padding.
    """

    field: int
    message_id: int
    has_data_set: bool
    status: int | None = None
    sop_class: bytes = b""
    sop_instance: bytes = b""
    move_destination: str = ""  # without padding

    @property
    def is_response(self) -> bool:
        """True for a response."""
        return self.field >= RESPONSE

    @property
    def request(self) -> int:
        """The command field of the request, for a response that of the request it answers."""
        return self.field & ~RESPONSE

    @property
    def name(self) -> str:
        """The service, as PS3.7 names it: C-STORE."""
        return REQUESTS[self.request]


def decode_command(data: bytes) -> Command:
    """Decode a complete command set. Raises DimseError."""
    values = _elements(data)
    field = _uint16(values, _COMMAND_FIELD)
    if field not in _KNOWN:
        raise DimseError(f"command field {field:04X}H is not defined in PS3.7")
    requested = field in _ON_REQUESTED_INSTANCE
    command = Command(
        field,
        _uint16(values, _RESPONDED_TO if field >= RESPONSE or field == C_CANCEL else _MESSAGE_ID),
        _uint16(values, _DATA_SET_TYPE) != NO_DATA_SET,
        _uint16(values, _STATUS) if field >= RESPONSE else None,
        values.get(_REQUESTED_SOP_CLASS if requested else _AFFECTED_SOP_CLASS, b""),
        values.get(_REQUESTED_SOP_INSTANCE if requested else _AFFECTED_SOP_INSTANCE, b""),
    )
    other_class = values.get(_AFFECTED_SOP_CLASS if requested else _REQUESTED_SOP_CLASS, b"")
    if other_class and field < RESPONSE:
        # Some parsers take the affected SOP class if there is one, others the one that belongs to this request. The
        # upstream must read the class that was judged.
        if command.sop_class and command.sop_class.rstrip(b"\0 ") != other_class.rstrip(b"\0 "):
            raise DimseError(f"{command.name}-RQ with two SOP classes")
        command.sop_class = command.sop_class or other_class
    if len(command.sop_class) > _LONGEST_UID or len(command.sop_instance) > _LONGEST_UID:
        raise DimseError(f"UID of more than {_LONGEST_UID} bytes")
    if field == C_MOVE:
        if _MOVE_DESTINATION not in values:
            raise DimseError("C-MOVE-RQ without a Move Destination (0000,0600)")
        command.move_destination = values[_MOVE_DESTINATION].rstrip(b" \0").lstrip(b" ").decode("latin-1")
    return command


def encode_command(field: int, message_id: int, status: int | None = None, **uids: bytes) -> bytes:
    """Encode a command set that no data set follows. `uids`: sop_class, sop_instance ("affected"), of even length."""
    elements = {_COMMAND_FIELD: field.to_bytes(2, "little"), _DATA_SET_TYPE: NO_DATA_SET.to_bytes(2, "little")}
    refers = field >= RESPONSE or field == C_CANCEL
    elements[_RESPONDED_TO if refers else _MESSAGE_ID] = message_id.to_bytes(2, "little")
    if status is not None:
        elements[_STATUS] = status.to_bytes(2, "little")
    if uids.get("sop_class"):
        elements[_AFFECTED_SOP_CLASS] = uids["sop_class"]
    if uids.get("sop_instance"):
        elements[_AFFECTED_SOP_INSTANCE] = uids["sop_instance"]
    body = b"".join(_ELEMENT.pack(0, element, len(value)) + value for element, value in sorted(elements.items()))
    return _ELEMENT.pack(0, _GROUP_LENGTH, 4) + len(body).to_bytes(4, "little") + body


def refusing_response(request: Command, status: int) -> bytes | None:
    """Return the response that refuses `request`; None for a C-CANCEL, which has no response."""
    if request.field == C_CANCEL:
        return None
    field, message_id = request.field | RESPONSE, request.message_id
    return encode_command(field, message_id, status, sop_class=request.sop_class, sop_instance=request.sop_instance)


def _elements(data: bytes) -> dict[int, bytes]:
    """Return element number -> value of group 0000. Raises DimseError unless all lengths fit."""
    values: dict[int, bytes] = {}
    end = len(data)
    offset = 0
    while offset < end:
        start = offset + _HEADER
        if start > end:
            raise DimseError("command set ends inside an element header")
        group, element, length = _ELEMENT.unpack_from(data, offset)
        offset = start + length
        if group or offset > end or length & 1 or element in values:
            if not (group and _is_status_detail(values, data, start - _HEADER)):
                raise DimseError(_describe_fault(group, element, length, over=offset > end))
            end = start - _HEADER
            break
        values[element] = data[start:offset]
    declared = values.get(_GROUP_LENGTH)
    if declared is None or len(declared) != 4 or data[:4] != b"\0\0\0\0":
        raise DimseError("command set does not begin with its group length (0000,0000)")
    group_length, size = int.from_bytes(declared, "little"), end - _HEADER - 4
    if group_length != size:
        raise DimseError(f"group length {group_length} of a command set of {size} bytes")
    return values


def _is_status_detail(values: dict[int, bytes], data: bytes, offset: int) -> bool:
    """Return whether a response goes on with complete elements of other groups from `offset` on.

    DCMTK's SCPs append such elements: Orthanc the Failed SOP Instance UID List (0008,0058) of a C-GET-RSP, which PS3.4
    puts into the data set. They leave the response what it is; in a request a parser could read them as its own.
    """
    if int.from_bytes(values.get(_COMMAND_FIELD, b""), "little") < RESPONSE:
        return False
    while offset + _HEADER <= len(data):
        group, _, length = _ELEMENT.unpack_from(data, offset)
        if not group:
            return False
        offset += _HEADER + length
    return offset == len(data)


def _describe_fault(group: int, element: int, length: int, *, over: bool) -> str:
    tag = f"element ({group:04X},{element:04X})"
    if group:
        return f"{tag} in a command set"
    if over:
        return f"{tag} of {length} bytes is longer than the command set"
    return f"{tag} of odd length {length}" if length & 1 else f"{tag} twice"


def _uint16(values: dict[int, bytes], element: int) -> int:
    value = values.get(element)
    if value is None or len(value) != 2:
        raise DimseError(f"{_NAMES[element]} (0000,{element:04X}) is missing or not two bytes")
    return value[0] | value[1] << 8
