"""Builds A-ASSOCIATE PDUs item by item, broken ones too, and holds what real implementations sent."""

from collections.abc import Iterable

from proxy.pdu import APPLICATION_CONTEXT, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from proxy.pdu.encode import (
    encode_ae_title,
    encode_context_result,
    encode_identity_response,
    encode_item,
    encode_pdu,
)

VERIFICATION = "1.2.840.10008.1.1"
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"

#: echoscu of DCMTK 3.6.7, `-aet CT1 -aec PACS`, as captured.
DCMTK_ECHOSCU = bytes.fromhex(
    "0100000000cd00010000504143532020202020202020202020204354312020202020202020202020202000000000000000000000000000000000"
    "00000000000000000000000000000000"
    "10000015312e322e3834302e31303030382e332e312e312e31"
    "2000002e0100ff0030000011312e322e3834302e31303030382e312e3140000011312e322e3834302e31303030382e312e32"
    "5000003a51000004000040005200001b312e322e3237362e302e373233303031302e332e302e332e362e37"
    "5500000f4f464649535f44434d544b5f333637"
)


def counted(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def uid_item(item_type: int, uid: str | bytes) -> bytes:
    return encode_item(item_type, uid.encode("ascii") if isinstance(uid, str) else uid)


def context(context_id: int, abstract_syntax: str = VERIFICATION, *transfer_syntaxes: str) -> bytes:
    syntaxes = transfer_syntaxes or (IMPLICIT_LE,)
    body = bytes((context_id, 0, 0, 0)) + uid_item(0x30, abstract_syntax)
    return encode_item(0x20, body + b"".join(uid_item(0x40, uid) for uid in syntaxes))


def answer(context_id: int, result: int = 0, *transfer_syntaxes: str) -> bytes:
    body = bytes((context_id, 0, result, 0)) + b"".join(uid_item(0x40, uid) for uid in transfer_syntaxes)
    return encode_item(0x21, body)


APPLICATION = uid_item(0x10, APPLICATION_CONTEXT)
MAXIMUM_LENGTH = encode_item(0x51, (16_384).to_bytes(4, "big"))
CLASS_UID = uid_item(0x52, "1.2.3.4")


def user_information(*sub_items: bytes) -> bytes:
    """A User Information Item; with the two usual sub-items in front of the given ones."""
    return encode_item(0x50, b"".join((MAXIMUM_LENGTH, CLASS_UID, *sub_items)))


def role(sop_class: str, scu: int, scp: int) -> bytes:
    return encode_item(0x54, counted(sop_class.encode()) + bytes((scu, scp)))


def identity(identity_type: int, primary: bytes, secondary: bytes = b"", *, positive_response: int = 0) -> bytes:
    return encode_item(0x58, bytes((identity_type, positive_response)) + counted(primary) + counted(secondary))


def associate_rq(
    *items: bytes,
    called: bytes = b"PACS".ljust(16),
    calling: bytes = b"CT1".ljust(16),
    protocol_version: int = 1,
    reserved: bytes = bytes(32),
) -> bytes:
    """An A-ASSOCIATE-RQ of these items; with none, a usual one."""
    items = items or (APPLICATION, context(1), user_information())
    return _associate(1, items, called, calling, protocol_version, reserved)


def associate_ac(*items: bytes, called: bytes = b"PACS".ljust(16), calling: bytes = b"CT1".ljust(16)) -> bytes:
    """An A-ASSOCIATE-AC of these items; with none, one that accepts context 1."""
    items = items or (APPLICATION, answer(1, 0, IMPLICIT_LE), user_information())
    return _associate(2, items, called, calling, 1, bytes(32))


def encode_associate_ac(
    called: str,
    calling: str,
    contexts: Iterable[tuple[int, int, str | None]],
    *,
    maximum_length: int = 16_384,
    implementation_version_name: str | None = IMPLEMENTATION_VERSION_NAME,
    roles: Iterable[tuple[str, bool, bool]] = (),
    user_identity_response: bytes | None = None,
) -> bytes:
    """A usual A-ASSOCIATE-AC. `contexts`: id, result, transfer syntax (None leaves the item out)."""
    information = encode_item(0x51, maximum_length.to_bytes(4, "big")) + uid_item(0x52, IMPLEMENTATION_CLASS_UID)
    information += b"".join(role(*one) for one in roles)
    if implementation_version_name is not None:
        information += encode_item(0x55, implementation_version_name.encode("ascii"))
    if user_identity_response is not None:
        information += encode_identity_response(user_identity_response)
    results = [encode_context_result(*context) for context in contexts]
    items = (APPLICATION, *results, encode_item(0x50, information))
    return _associate(2, items, encode_ae_title(called), encode_ae_title(calling), 1, bytes(32))


def encode_release_rp() -> bytes:
    """An A-RELEASE-RP (PS3.8 Table 9-25)."""
    return encode_pdu(6, bytes(4))


def _associate(
    pdu_type: int, items: tuple[bytes, ...], called: bytes, calling: bytes, protocol_version: int, reserved: bytes
) -> bytes:
    fixed = protocol_version.to_bytes(2, "big") + bytes(2) + called + calling + reserved
    return encode_pdu(pdu_type, fixed + b"".join(items))
