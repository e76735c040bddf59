"""PS3.8 on the wire: parsing, encoding, framing, editing and scanning of PDUs. Pure."""

from proxy.pdu.model import (
    APPLICATION_CONTEXT,
    AAssociateAC,
    AAssociateRQ,
    AeTitle,
    ItemType,
    PduType,
    PresentationContext,
    PresentationContextResult,
    RoleSelection,
    Span,
    UserIdentity,
    UserInformation,
)

__all__ = [
    "APPLICATION_CONTEXT",
    "AAssociateAC",
    "AAssociateRQ",
    "AeTitle",
    "ItemType",
    "PduType",
    "PresentationContext",
    "PresentationContextResult",
    "RoleSelection",
    "Span",
    "UserIdentity",
    "UserInformation",
]
