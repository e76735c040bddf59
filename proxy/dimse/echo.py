"""C-ECHO (PS3.7 section 9.3.5): encode the command set of the request, and read the status of the response. Pure."""

from proxy.dimse.command import C_ECHO, RESPONSE, DimseError, decode_command, encode_command

VERIFICATION_SOP_CLASS = "1.2.840.10008.1.1"
IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"


def encode_c_echo_rq(message_id: int) -> bytes:
    """Encode the command set of a C-ECHO-RQ (PS3.7 Table 9.3-12)."""
    return encode_command(C_ECHO, message_id, sop_class=VERIFICATION_SOP_CLASS.encode() + b"\0")


def decode_c_echo_rsp(data: bytes, message_id: int) -> int:
    """Return the status of a complete C-ECHO-RSP command set (PS3.7 Table 9.3-13). Raises DimseError."""
    command = decode_command(data)
    if command.field != C_ECHO | RESPONSE:
        raise DimseError(f"command field {command.field:04X}H instead of a C-ECHO response")
    if command.message_id != message_id:
        raise DimseError(f"response to message {command.message_id}, {message_id} was sent")
    assert command.status is not None
    return command.status
