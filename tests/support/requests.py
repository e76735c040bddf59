"""Requests and facts as policy sees them, built without bytes."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from proxy.pdu import (
    APPLICATION_CONTEXT,
    AAssociateRQ,
    AeTitle,
    PresentationContext,
    RoleSelection,
    Span,
    UserInformation,
)
from proxy.policy import Facts, User, VerifiedCertificate
from proxy.policy.addresses import normalize

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
NOW = 1_800_000_000.0


def ae_title(text: str, *, nul_padded: bool = False) -> AeTitle:
    """An AE title field with this text, padded with spaces or NULs; leading spaces are noted as the parser does."""
    return AeTitle(
        title=text.strip(" "),
        raw=text.encode("ascii").ljust(16, b"\0" if nul_padded else b" "),
        nul_padded=nul_padded,
        leading_spaces=bool(text.strip(" ")) and text.startswith(" "),
    )


def presentation_contexts(count: int) -> tuple[PresentationContext, ...]:
    """So many contexts of the Verification SOP class."""
    return tuple(
        PresentationContext(2 * index + 1, VERIFICATION, (IMPLICIT_VR_LITTLE_ENDIAN,), Span(0, 0))
        for index in range(count)
    )


def proposing(
    *abstract_syntaxes: str,
    scp_roles: Iterable[str] = (),
    transfer_syntaxes: tuple[str, ...] = (IMPLICIT_VR_LITTLE_ENDIAN,),
    **values: Any,
) -> AAssociateRQ:
    """A request with one context for each abstract syntax, ids 1, 3, 5..., that offers the SCP role for some."""
    contexts = tuple(
        PresentationContext(2 * index + 1, uid, transfer_syntaxes, Span(0, 0))
        for index, uid in enumerate(abstract_syntaxes)
    )
    roles = tuple(RoleSelection(uid, True, True, Span(0, 0)) for uid in scp_roles)
    information = UserInformation(Span(0, 0), role_selections=roles)
    return dataclasses.replace(associate_rq(**values), presentation_contexts=contexts, user_information=information)


def associate_rq(
    called: str | AeTitle = "MAINPACS",
    calling: str | AeTitle = "CT1",
    *,
    contexts: int = 1,
    protocol_version: int = 1,
    application_context: str = APPLICATION_CONTEXT,
) -> AAssociateRQ:
    """An A-ASSOCIATE-RQ as the parser returns it."""
    return AAssociateRQ(
        protocol_version=protocol_version,
        called=called if isinstance(called, AeTitle) else ae_title(called),
        calling=calling if isinstance(calling, AeTitle) else ae_title(calling),
        application_context=application_context,
        presentation_contexts=presentation_contexts(contexts),
        user_information=UserInformation(Span(0, 0)),
    )


def facts(
    *,
    source: str = "10.20.1.11",
    called: str | AeTitle = "MAINPACS",
    calling: str | AeTitle = "CT1",
    sni: str | None = None,
    certificate: VerifiedCertificate | None = None,
    user: User | None = None,
    request: AAssociateRQ | None = None,
    now: float = NOW,
) -> Facts:
    """The facts of one association."""
    request = request or associate_rq(called, calling)
    return Facts(normalize(source), request, now, sni=sni, certificate=certificate, user=user)


def certificate(sha256: str = "c1", *, issuers: tuple[str, ...] = (), **values: object) -> VerifiedCertificate:
    """A verified client certificate; fingerprints are short and made up."""
    return dataclasses.replace(
        VerifiedCertificate(sha256, f"spki-{sha256}", subject=f"CN={sha256}", issuers=issuers), **values
    )
