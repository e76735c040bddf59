"""Parses the User Information Item of A-ASSOCIATE-RQ and -AC (PS3.8 section 9.3.2.3, PS3.7 annex D.3.3)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from proxy.pdu.errors import InvalidPduParameter, RequestAmbiguous
from proxy.pdu.items import accept_items, request_items
from proxy.pdu.model import (
    AsynchronousOperationsWindow,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    ItemType,
    RoleSelection,
    Span,
    UserIdentity,
    UserInformation,
)
from proxy.pdu.reader import ByteReader

_IN_BOTH = frozenset(
    {
        ItemType.MAXIMUM_LENGTH,
        ItemType.IMPLEMENTATION_CLASS_UID,
        ItemType.ASYNCHRONOUS_OPERATIONS_WINDOW,
        ItemType.ROLE_SELECTION,
        ItemType.IMPLEMENTATION_VERSION_NAME,
        ItemType.EXTENDED_NEGOTIATION,
    }
)
_IN_REQUEST = _IN_BOTH | {ItemType.COMMON_EXTENDED_NEGOTIATION, ItemType.USER_IDENTITY_RQ}
_IN_ACCEPT = _IN_BOTH | {ItemType.USER_IDENTITY_AC}

_LONGEST_VERSION_NAME = 16
_IDENTITY_TYPES = range(1, 6)  # user name, with passcode, Kerberos, SAML, JWT
_WITH_PASSCODE = 2


def parse_request_user_information(item: ByteReader) -> UserInformation:
    """Parse the body of the User Information Item of an A-ASSOCIATE-RQ.

    Raises RequestAmbiguous for a repeated singleton, and for two role selections that contradict each other.
    """
    information = _collect(item, request_items(item, _IN_REQUEST))
    roles: dict[str, tuple[bool, bool]] = {}
    for role in information.role_selections:
        asked = (role.scu_role, role.scp_role)
        if roles.setdefault(role.sop_class_uid, asked) != asked:
            raise RequestAmbiguous(f"two different role selections for {role.sop_class_uid}")
    return information


def parse_accept_user_information(item: ByteReader) -> UserInformation:
    """Parse the body of the User Information Item of an A-ASSOCIATE-AC."""
    return _collect(item, accept_items(item, _IN_ACCEPT))


@dataclass(slots=True)
class _Collected:
    """The sub-items in the making of a UserInformation."""

    maximum_length: int | None = None
    implementation_class_uid: str | None = None
    implementation_version_name: str | None = None
    window: AsynchronousOperationsWindow | None = None
    roles: list[RoleSelection] = field(default_factory=list)
    extended: list[ExtendedNegotiation] = field(default_factory=list)
    common_extended: list[CommonExtendedNegotiation] = field(default_factory=list)
    identity: UserIdentity | None = None
    identity_response: bytes | None = None
    identity_response_span: Span | None = None


def _collect(item: ByteReader, sub_items: Iterator[tuple[int, ByteReader]]) -> UserInformation:
    found = _Collected()
    for item_type, body in sub_items:
        match item_type:
            case ItemType.MAXIMUM_LENGTH:  # PS3.8 Table D.1-1
                found.maximum_length = body.uint32()
                body.expect_end()
            case ItemType.IMPLEMENTATION_CLASS_UID:  # PS3.7 Table D.3-1
                found.implementation_class_uid = body.uid()
            case ItemType.ASYNCHRONOUS_OPERATIONS_WINDOW:
                found.window = AsynchronousOperationsWindow(body.uint16(), body.uint16())
                body.expect_end()
            case ItemType.ROLE_SELECTION:
                found.roles.append(_parse_role_selection(body))
            case ItemType.IMPLEMENTATION_VERSION_NAME:
                found.implementation_version_name = _parse_version_name(body)
            case ItemType.EXTENDED_NEGOTIATION:  # the application information after the UID has no defined form
                found.extended.append(ExtendedNegotiation(body.uid(body.uint16()), body.span))
            case ItemType.COMMON_EXTENDED_NEGOTIATION:
                found.common_extended.append(_parse_common_extended_negotiation(body))
            case ItemType.USER_IDENTITY_RQ:
                found.identity = _parse_user_identity(body)
            case ItemType.USER_IDENTITY_AC:  # PS3.7 Table D.3-15
                found.identity_response = body.take(body.uint16())
                found.identity_response_span = body.span
                body.expect_end()
    return UserInformation(
        span=item.span,
        maximum_length=found.maximum_length,
        implementation_class_uid=found.implementation_class_uid,
        implementation_version_name=found.implementation_version_name,
        asynchronous_operations_window=found.window,
        role_selections=tuple(found.roles),
        extended_negotiations=tuple(found.extended),
        common_extended_negotiations=tuple(found.common_extended),
        user_identity=found.identity,
        user_identity_response=found.identity_response,
        user_identity_response_span=found.identity_response_span,
    )


def _parse_role_selection(body: ByteReader) -> RoleSelection:
    """Parse a role selection (PS3.7 Table D.3-9). Parsers differ on a role that is neither 0 nor 1."""
    sop_class_uid = body.uid(body.uint16())
    scu_role, scp_role = body.uint8(), body.uint8()
    body.expect_end()
    if scu_role > 1 or scp_role > 1:
        raise InvalidPduParameter(f"role selection for {sop_class_uid}: roles {scu_role} and {scp_role}")
    return RoleSelection(sop_class_uid, bool(scu_role), bool(scp_role), body.span)


def _parse_version_name(body: ByteReader) -> str:
    """Parse a version name (PS3.7 Table D.3-2) to printable ASCII: other bytes are escaped, padding is cut."""
    if body.remaining > _LONGEST_VERSION_NAME:
        raise InvalidPduParameter(f"implementation version name of {body.remaining} bytes")
    raw = body.take(body.remaining).rstrip(b"\0 ")
    return raw.decode("latin-1").encode("unicode_escape").decode("ascii")


def _parse_common_extended_negotiation(body: ByteReader) -> CommonExtendedNegotiation:
    """Parse a common extended negotiation (PS3.7 Table D.3-12). Bytes after the related classes are reserved."""
    sop_class_uid = body.uid(body.uint16())
    service_class_uid = body.uid(body.uint16())
    related = body.part(body.uint16())
    uids: list[str] = []
    while related.remaining:
        uids.append(related.uid(related.uint16()))
    return CommonExtendedNegotiation(sop_class_uid, service_class_uid, tuple(uids), body.span)


def _parse_user_identity(body: ByteReader) -> UserIdentity:
    """Parse a user identity (PS3.7 Table D.3-14). No message quotes its fields: they are secrets."""
    identity_type, positive_response = body.uint8(), body.uint8()
    primary = body.take(body.uint16())
    secondary = body.take(body.uint16())
    body.expect_end()
    if identity_type not in _IDENTITY_TYPES:
        raise InvalidPduParameter(f"user identity type {identity_type}")
    if positive_response > 1:
        raise InvalidPduParameter(f"user identity: positive response requested {positive_response}")
    if secondary and identity_type != _WITH_PASSCODE:
        raise InvalidPduParameter(f"user identity type {identity_type} with a secondary field")
    return UserIdentity(identity_type, bool(positive_response), body.span, primary, secondary)
