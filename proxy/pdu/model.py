"""The PDUs and items of PS3.8 section 9.3 and PS3.7 annex D as plain values. Offsets are into the complete PDU."""

import enum
from dataclasses import dataclass, field

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"

#: Odd numbers from 1 to 255 (PS3.8 section 9.3.2.2): with more, an id must repeat.
MAX_PRESENTATION_CONTEXTS = 128


class PduType(enum.IntEnum):
    """PS3.8 section 9.3.1."""

    A_ASSOCIATE_RQ = 0x01
    A_ASSOCIATE_AC = 0x02
    A_ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    A_RELEASE_RQ = 0x05
    A_RELEASE_RP = 0x06
    A_ABORT = 0x07


class ItemType(enum.IntEnum):
    """Items of A-ASSOCIATE-RQ and -AC (PS3.8 Tables 9-12 to 9-20, PS3.7 annex D.3.3)."""

    APPLICATION_CONTEXT = 0x10
    PRESENTATION_CONTEXT_RQ = 0x20
    PRESENTATION_CONTEXT_AC = 0x21
    ABSTRACT_SYNTAX = 0x30
    TRANSFER_SYNTAX = 0x40
    USER_INFORMATION = 0x50
    MAXIMUM_LENGTH = 0x51
    IMPLEMENTATION_CLASS_UID = 0x52
    ASYNCHRONOUS_OPERATIONS_WINDOW = 0x53
    ROLE_SELECTION = 0x54
    IMPLEMENTATION_VERSION_NAME = 0x55
    EXTENDED_NEGOTIATION = 0x56
    COMMON_EXTENDED_NEGOTIATION = 0x57
    USER_IDENTITY_RQ = 0x58
    USER_IDENTITY_AC = 0x59


@dataclass(frozen=True, slots=True)
class Span:
    """Where an item stands in its PDU, header included: `pdu[start:end]`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class AeTitle:
    """An AE title field (16 bytes) as read: `title` without leading and trailing spaces, "" if blank.

    `nul_padded`: padded with NULs, or with NULs and spaces. `leading_spaces`: legal, but read differently by different
    implementations, so it is forwarded in canonical form.
    """

    title: str
    raw: bytes
    nul_padded: bool = False
    leading_spaces: bool = False


@dataclass(frozen=True, slots=True)
class PresentationContext:
    """A Presentation Context Item of an A-ASSOCIATE-RQ (PS3.8 Table 9-13)."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class PresentationContextResult:
    """A Presentation Context Item of an A-ASSOCIATE-AC (PS3.8 Table 9-18).

    `transfer_syntax` is None unless the result is acceptance: elsewhere it is not significant, and not read.
    """

    context_id: int
    result: int
    transfer_syntax: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class AsynchronousOperationsWindow:
    """PS3.7 Table D.3-7; 0 is unlimited."""

    maximum_invoked: int
    maximum_performed: int


@dataclass(frozen=True, slots=True)
class RoleSelection:
    """PS3.7 Table D.3-9."""

    sop_class_uid: str
    scu_role: bool
    scp_role: bool
    span: Span


@dataclass(frozen=True, slots=True)
class ExtendedNegotiation:
    """PS3.7 Table D.3-11. The application information is not looked into."""

    sop_class_uid: str
    span: Span


@dataclass(frozen=True, slots=True)
class CommonExtendedNegotiation:
    """PS3.7 Table D.3-12."""

    sop_class_uid: str
    service_class_uid: str
    related_general_sop_class_uids: tuple[str, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """PS3.7 Table D.3-14. `primary` and `secondary` are secrets: never logged, not in the repr."""

    identity_type: int
    positive_response_requested: bool
    span: Span
    primary: bytes
    secondary: bytes

    def __repr__(self) -> str:
        return f"UserIdentity(identity_type={self.identity_type}, span={self.span})"


@dataclass(frozen=True, slots=True)
class UserInformation:
    """PS3.8 section 9.3.2.3 and PS3.7 annex D.3.3. What the sender left out is None or empty."""

    span: Span
    maximum_length: int | None = None
    implementation_class_uid: str | None = None
    implementation_version_name: str | None = None
    asynchronous_operations_window: AsynchronousOperationsWindow | None = None
    role_selections: tuple[RoleSelection, ...] = ()
    extended_negotiations: tuple[ExtendedNegotiation, ...] = ()
    common_extended_negotiations: tuple[CommonExtendedNegotiation, ...] = ()
    user_identity: UserIdentity | None = None  # RQ
    user_identity_response: bytes | None = field(default=None, repr=False)  # AC; may be a Kerberos ticket
    user_identity_response_span: Span | None = None


@dataclass(frozen=True, slots=True)
class AAssociateRQ:
    """A-ASSOCIATE-RQ (PS3.8 Table 9-11).

    Of a request with more than MAX_PRESENTATION_CONTEXTS contexts only one more than that is read: it must be refused.
    """

    protocol_version: int
    called: AeTitle
    calling: AeTitle
    application_context: str
    presentation_contexts: tuple[PresentationContext, ...]
    user_information: UserInformation


@dataclass(frozen=True, slots=True)
class AAssociateAC:
    """A-ASSOCIATE-AC (PS3.8 Table 9-17). Its AE title fields are not significant and not read.

    Without a User Information Item, `user_information.span` is the empty one at the end of the PDU.
    """

    protocol_version: int
    presentation_contexts: tuple[PresentationContextResult, ...]
    user_information: UserInformation
