"""Edits A-ASSOCIATE PDUs by splicing: ranges of the original bytes are cut or replaced, and lengths are fixed.

Unknown items, reserved bytes, order and padding reach the other side as they were sent (design section 3).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from proxy.pdu.associate import CALLED_AE_TITLE, CALLING_AE_TITLE, PDU_HEADER
from proxy.pdu.encode import encode_ae_title, encode_context_result, encode_identity_response, encode_item
from proxy.pdu.errors import InvalidPduParameter
from proxy.pdu.model import (
    AAssociateAC,
    AAssociateRQ,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    ItemType,
    PresentationContext,
    RoleSelection,
    Span,
    UserInformation,
)

_USER_REJECTION = 1  # PS3.8 Table 9-18
_LONGEST_ITEM = 0xFFFF
_LONGEST_RESPONSE = _LONGEST_ITEM - 6  # alone in a User Information Item, behind its sub-item header and count


@dataclass(frozen=True, slots=True)
class _Patch:
    """`pdu[start:end]` becomes `replacement`. Patches do not overlap; those at one place keep their order."""

    start: int
    end: int
    replacement: bytes = b""

    @property
    def growth(self) -> int:
        return len(self.replacement) - (self.end - self.start)


def edit_associate_rq(
    pdu: bytes,
    request: AAssociateRQ,
    *,
    called: str | None = None,
    calling: str | None = None,
    keep_contexts: frozenset[int] | None = None,
    strip_user_identity: bool = False,
) -> bytes:
    """The A-ASSOCIATE-RQ as it is forwarded; `pdu` itself where nothing changes. `request` is `pdu` parsed.

    With a presentation context that is not kept go the role selection and extended negotiation items (PS3.7 D.3.3.4 to
    D.3.3.6) of SOP classes that no kept context names.
    """
    patches: list[_Patch] = []
    if called is not None:
        patches.append(_title_patch(CALLED_AE_TITLE, called))
    if calling is not None:
        patches.append(_title_patch(CALLING_AE_TITLE, calling))
    inside: list[_Patch] = []
    if keep_contexts is not None:
        kept = [context for context in request.presentation_contexts if context.context_id in keep_contexts]
        if len(kept) < len(request.presentation_contexts):
            patches += [
                _cut(item.span) for item in request.presentation_contexts if item.context_id not in keep_contexts
            ]
            inside += _negotiation_cuts(request.user_information, {context.abstract_syntax for context in kept})
    identity = request.user_information.user_identity
    if strip_user_identity and identity is not None:
        inside.append(_cut(identity.span))
    return _apply(pdu, patches, request.user_information.span, inside)


def restore_associate_ac(
    pdu: bytes,
    accept: AAssociateAC,
    request: AAssociateRQ,
    original_request: bytes,
    *,
    refused: frozenset[int] = frozenset(),
    titles: bool = False,
    identity_response: bytes | None = None,
) -> bytes:
    """The upstream's A-ASSOCIATE-AC as the answer to what the requestor sent; `pdu` itself where nothing changes.

    `accept` is `pdu` parsed, `request` is `original_request` parsed: the request before it was edited. `refused`
    contexts are put back as user-rejections with their first transfer syntax, `titles` restores the AE title fields,
    `identity_response` is the gateway's own answer to the user identity. Raises InvalidPduParameter if the upstream
    answered a refused context, which it was not asked for, or if the response does not fit.
    """
    patches: list[_Patch] = []
    if titles:
        fields = slice(CALLED_AE_TITLE.start, CALLING_AE_TITLE.stop)
        patches.append(_Patch(fields.start, fields.stop, original_request[fields]))
    if refused:
        patches += _refused_contexts(accept, request.presentation_contexts, refused)
    information = accept.user_information
    inside: list[_Patch] = []
    if identity_response is not None:
        if len(identity_response) > _LONGEST_RESPONSE:
            raise InvalidPduParameter(f"user identity response of {len(identity_response)} bytes")
        item = encode_identity_response(identity_response)
        theirs = information.user_identity_response_span
        if information.span.start == information.span.end:
            item = encode_item(ItemType.USER_INFORMATION, item)
            patches.append(_Patch(information.span.start, information.span.end, item))
        elif theirs is not None:
            inside.append(_Patch(theirs.start, theirs.end, item))
        else:
            inside.append(_Patch(information.span.end, information.span.end, item))
    return _apply(pdu, patches, information.span, inside)


def _title_patch(field: slice, title: str) -> _Patch:
    return _Patch(field.start, field.stop, encode_ae_title(title))


def _cut(span: Span) -> _Patch:
    return _Patch(span.start, span.end)


def _negotiation_cuts(information: UserInformation, sop_classes: Collection[str]) -> Iterable[_Patch]:
    negotiations: tuple[RoleSelection | ExtendedNegotiation | CommonExtendedNegotiation, ...] = (
        *information.role_selections,
        *information.extended_negotiations,
        *information.common_extended_negotiations,
    )
    return [_cut(item.span) for item in negotiations if item.sop_class_uid not in sop_classes]


def _refused_contexts(
    accept: AAssociateAC, proposed: Iterable[PresentationContext], refused: frozenset[int]
) -> Iterable[_Patch]:
    """Each refused context goes behind the answer to the one proposed before it, or in front of all answers."""
    answers = {answer.context_id: answer.span for answer in accept.presentation_contexts}
    if not refused.isdisjoint(answers):
        raise InvalidPduParameter(f"contexts {sorted(refused & answers.keys())} are answered but were not proposed")
    place = min((span.start for span in answers.values()), default=accept.user_information.span.start)
    for context in proposed:
        if context.context_id in refused:
            item = encode_context_result(context.context_id, _USER_REJECTION, context.transfer_syntaxes[0])
            yield _Patch(place, place, item)
        elif context.context_id in answers:
            place = answers[context.context_id].end


def _apply(pdu: bytes, patches: Iterable[_Patch], information: Span, inside: Iterable[_Patch]) -> bytes:
    """Apply the patches, and those `inside` the User Information Item, and fix both lengths."""
    # What is added at the end of the User Information Item comes before an item that is added behind it.
    changes = [patch for patch in (*inside, *patches) if pdu[patch.start : patch.end] != patch.replacement]
    if not changes:
        return pdu
    growth = sum(patch.growth for patch in inside)
    if growth:
        length = information.end - information.start - 4 + growth
        if length > _LONGEST_ITEM:
            raise InvalidPduParameter(f"user information item would grow to {length} bytes")
        changes.append(_Patch(information.start + 2, information.start + 4, length.to_bytes(2, "big")))
    pieces: list[bytes] = []
    copied = PDU_HEADER
    for patch in sorted(changes, key=lambda patch: patch.start):
        pieces += (pdu[copied : patch.start], patch.replacement)
        copied = patch.end
    pieces.append(pdu[copied:])
    body = b"".join(pieces)
    return pdu[:2] + len(body).to_bytes(4, "big") + body
