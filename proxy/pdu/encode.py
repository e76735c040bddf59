"""Encodes the PDUs that the gateway itself sends: refusals, aborts, and the association of its own C-ECHO client.

Values come from us and are trusted to fit; a length that does not fit its field raises OverflowError, a bug of ours.
"""

from collections.abc import Iterable, Sequence

from proxy.pdu.model import APPLICATION_CONTEXT, ItemType, PduType

IMPLEMENTATION_CLASS_UID = "2.25.20179606991949637085230452226785930773"  # derived from a UUID (PS3.5 section B.2)
IMPLEMENTATION_VERSION_NAME = "DICOMGATE_0_1"
MAXIMUM_LENGTH = 16_384  # what most peers announce

_PROTOCOL_VERSION = 1
_AE_TITLE_LENGTH = 16
_PDV_HEADER = 6  # length, context id, message control header
_COMMAND, _LAST = 1, 2  # bits of the message control header (PS3.8 annex E.2)


def encode_associate_rq(
    called: str,
    calling: str,
    contexts: Iterable[tuple[int, str, Sequence[str]]],
    *,
    maximum_length: int = MAXIMUM_LENGTH,
    implementation_class_uid: str | None = IMPLEMENTATION_CLASS_UID,
    implementation_version_name: str | None = IMPLEMENTATION_VERSION_NAME,
    roles: Iterable[tuple[str, bool, bool]] = (),
    user_identity: tuple[int, bool, bytes, bytes] | None = None,
) -> bytes:
    """Encode an A-ASSOCIATE-RQ (PS3.8 Table 9-11).

    `contexts`: id, abstract syntax, transfer syntaxes. `roles`: SOP class, SCU role, SCP role (PS3.7 Table D.3-9).
    `user_identity`: type, positive response requested, primary and secondary field (PS3.7 Table D.3-14).
    """
    items = [_uid_item(ItemType.APPLICATION_CONTEXT, APPLICATION_CONTEXT)]
    for context_id, abstract_syntax, transfer_syntaxes in contexts:
        body = bytes((context_id, 0, 0, 0)) + _uid_item(ItemType.ABSTRACT_SYNTAX, abstract_syntax)
        body += b"".join(_uid_item(ItemType.TRANSFER_SYNTAX, uid) for uid in transfer_syntaxes)
        items.append(encode_item(ItemType.PRESENTATION_CONTEXT_RQ, body))
    information = _user_information(maximum_length, implementation_class_uid, implementation_version_name, roles)
    if user_identity is not None:
        identity_type, positive_response_requested, primary, secondary = user_identity
        body = bytes((identity_type, positive_response_requested)) + _counted(primary) + _counted(secondary)
        information += encode_item(ItemType.USER_IDENTITY_RQ, body)
    items.append(encode_item(ItemType.USER_INFORMATION, information))
    titles = encode_ae_title(called) + encode_ae_title(calling)
    fixed = _PROTOCOL_VERSION.to_bytes(2, "big") + bytes(2) + titles + bytes(32)
    return encode_pdu(PduType.A_ASSOCIATE_RQ, fixed + b"".join(items))


def encode_associate_rj(result: int, source: int, reason: int) -> bytes:
    """Encode an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""
    return encode_pdu(PduType.A_ASSOCIATE_RJ, bytes((0, result, source, reason)))


def encode_release_rq() -> bytes:
    """Encode an A-RELEASE-RQ (PS3.8 Table 9-24)."""
    return encode_pdu(PduType.A_RELEASE_RQ, bytes(4))


def encode_abort(source: int, reason: int) -> bytes:
    """Encode an A-ABORT (PS3.8 Table 9-26)."""
    return encode_pdu(PduType.A_ABORT, bytes((0, 0, source, reason)))


def encode_p_data(context_id: int, control: int, fragment: bytes) -> bytes:
    """Encode a P-DATA-TF of one PDV (PS3.8 Tables 9-22, 9-23, annex E.2). `control`: bit 0 command, bit 1 last."""
    value = bytes((context_id, control)) + fragment
    return encode_pdu(PduType.P_DATA_TF, len(value).to_bytes(4, "big") + value)


def encode_command_set(context_id: int, command: bytes, maximum_length: int) -> bytes:
    """Encode a command set in P-DATA-TF PDUs of the `maximum_length` that the peer announced; 0: any (annex D.1)."""
    step = max(maximum_length - _PDV_HEADER, 1) if maximum_length else len(command)
    pieces = [command[start : start + step] for start in range(0, len(command), step)]
    return b"".join(
        encode_p_data(context_id, _COMMAND | _LAST if number == len(pieces) else _COMMAND, piece)
        for number, piece in enumerate(pieces, 1)
    )


def encode_pdu(pdu_type: int, body: bytes) -> bytes:
    """Encode header and body of a PDU (PS3.8 section 9.3.1)."""
    return bytes((pdu_type, 0)) + len(body).to_bytes(4, "big") + body


def encode_item(item_type: int, body: bytes) -> bytes:
    """Encode header and body of an item or sub-item (PS3.8 section 9.3.1)."""
    return bytes((item_type, 0)) + _counted(body)


def encode_context_result(context_id: int, result: int, transfer_syntax: str | None) -> bytes:
    """Encode a Presentation Context Item of an A-ASSOCIATE-AC (PS3.8 Table 9-18)."""
    body = bytes((context_id, 0, result, 0))
    if transfer_syntax is not None:
        body += _uid_item(ItemType.TRANSFER_SYNTAX, transfer_syntax)
    return encode_item(ItemType.PRESENTATION_CONTEXT_AC, body)


def encode_identity_response(response: bytes) -> bytes:
    """Encode a User Identity sub-item of an A-ASSOCIATE-AC (PS3.7 Table D.3-15)."""
    return encode_item(ItemType.USER_IDENTITY_AC, _counted(response))


def encode_ae_title(title: str) -> bytes:
    """Encode an AE title field in the form that every implementation reads alike (PS3.8 Table 9-11)."""
    assert len(title) <= _AE_TITLE_LENGTH, title
    return title.encode("ascii").ljust(_AE_TITLE_LENGTH)


def _user_information(
    maximum_length: int, class_uid: str | None, version_name: str | None, roles: Iterable[tuple[str, bool, bool]]
) -> bytes:
    """Encode the sub-items of request and accept in ascending order: old peers expect it (PS3.8 section 9.3.2.3)."""
    sub_items = [encode_item(ItemType.MAXIMUM_LENGTH, maximum_length.to_bytes(4, "big"))]
    if class_uid is not None:
        sub_items.append(_uid_item(ItemType.IMPLEMENTATION_CLASS_UID, class_uid))
    for sop_class_uid, scu_role, scp_role in roles:
        body = _counted(sop_class_uid.encode("ascii")) + bytes((scu_role, scp_role))
        sub_items.append(encode_item(ItemType.ROLE_SELECTION, body))
    if version_name is not None:
        sub_items.append(encode_item(ItemType.IMPLEMENTATION_VERSION_NAME, version_name.encode("ascii")))
    return b"".join(sub_items)


def _uid_item(item_type: int, uid: str) -> bytes:
    return encode_item(item_type, uid.encode("ascii"))


def _counted(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value
