"""Edits A-ASSOCIATE PDUs by splicing: ranges of the original bytes are cut or replaced, and lengths are fixed.

Unknown items, reserved bytes, order and padding reach the other side as they were sent (invariant 2,
docs/architecture.md).
"""

from collections.abc import Collection, Iterable

from proxy.pdu.associate import CALLED_AE_TITLE, CALLING_AE_TITLE, FIRST_ITEM, PDU_HEADER
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
from proxy.pdu.splice import Patch, splice

_USER_REJECTION = 1  # PS3.8 Table 9-18
_ECHOED_FIELDS = slice(CALLED_AE_TITLE.start, FIRST_ITEM)  # titles and reserved bytes (PS3.8 Table 9-17, 11 to 74)
_CONTEXT_FIELDS = 8  # item header, id and reserved bytes: sub-items follow them (PS3.8 Table 9-13)
_ITEM_HEADER = 4
_TRANSFER_SYNTAX = int(ItemType.TRANSFER_SYNTAX)  # an enum member would double the time per sub-item
_LONGEST_ITEM = 0xFFFF
_LONGEST_RESPONSE = _LONGEST_ITEM - 6  # alone in a User Information Item, after its sub-item header and count


def edit_associate_rq(
    pdu: bytes,
    request: AAssociateRQ,
    *,
    called: str | None = None,
    calling: str | None = None,
    keep_contexts: frozenset[int] | None = None,
    transfer_syntaxes: frozenset[str] | None = None,
    scp_roles: frozenset[str] | None = None,
    strip_user_identity: bool = False,
) -> bytes:
    """Return the A-ASSOCIATE-RQ to forward; `pdu` itself if nothing changes. `request` is `pdu` parsed.

    A presentation context that is not kept takes with it the role selection and extended negotiation items (PS3.7
    D.3.3.4 to D.3.3.6) of SOP classes that no kept context names. `transfer_syntaxes` stay in the kept contexts;
    ValueError if one of them would lose all. `scp_roles` are the SOP classes for which the SCP role may be proposed.
    For any other class the role selection is reduced to SCU, or cut if it proposed SCP alone.
    """
    patches: list[Patch] = []
    if called is not None:
        patches.append(_title_patch(CALLED_AE_TITLE, called))
    if calling is not None:
        patches.append(_title_patch(CALLING_AE_TITLE, calling))
    kept = request.presentation_contexts
    if keep_contexts is not None:
        kept = tuple(context for context in kept if context.context_id in keep_contexts)
        patches += [_cut(item.span) for item in request.presentation_contexts if item.context_id not in keep_contexts]
    if transfer_syntaxes is not None:
        patches += [
            _transfer_syntax_patch(pdu, context, transfer_syntaxes)
            for context in kept
            if not transfer_syntaxes.issuperset(context.transfer_syntaxes)
        ]
    inside = _negotiation_patches(request.user_information, _sop_classes(request, kept), scp_roles)
    identity = request.user_information.user_identity
    if strip_user_identity and identity is not None:
        inside.append(_cut(identity.span))
    return _apply(pdu, patches, request.user_information.span, inside)


def rename_implementation(pdu: bytes, request: AAssociateRQ, name: str) -> bytes:
    """Return the A-ASSOCIATE-RQ with this Implementation Version Name (PS3.7 Table D.3-3). `request`: `pdu` parsed."""
    information = request.user_information
    at, end = information.span.start + _ITEM_HEADER, information.span.end
    place = Span(end, end)
    while at < end:
        after = at + _ITEM_HEADER + (pdu[at + 2] << 8 | pdu[at + 3])
        if pdu[at] == ItemType.IMPLEMENTATION_VERSION_NAME:
            place = Span(at, after)
            break
        # If there is no such item, insert it in ascending order: old peers expect that (PS3.8 section 9.3.2.3).
        if pdu[at] > ItemType.IMPLEMENTATION_VERSION_NAME and place.start == end:
            place = Span(at, at)
        at = after
    item = encode_item(ItemType.IMPLEMENTATION_VERSION_NAME, name.encode("ascii"))
    return _apply(pdu, (), information.span, [Patch(place.start, place.end, item)])


def restore_associate_ac(
    pdu: bytes,
    accept: AAssociateAC,
    request: AAssociateRQ,
    original_request: bytes,
    *,
    refused: frozenset[int] = frozenset(),
    transfer_syntaxes: frozenset[str] | None = None,
    scp_roles: frozenset[str] | None = None,
    titles: bool = False,
    identity_response: bytes | None = None,
) -> bytes:
    """Return the upstream's A-ASSOCIATE-AC as the answer to the request that was sent; `pdu` itself if nothing changes.

    `accept` is `pdu` parsed, `request` is `original_request` parsed: the request before it was edited, `refused` the
    contexts that were cut out of it, `transfer_syntaxes` and `scp_roles` what the edit was given. Refused contexts are
    put back as user-rejections with their first transfer syntax, which is not significant but must be there; answers to
    negotiation items that were cut go, and an SCP role is not granted that was not to be proposed. `titles` restores
    the fields that echo the request, `identity_response` is the gateway's own answer to the user identity. A context
    that the upstream left out stays so. Raises InvalidPduParameter if the upstream accepted a context or a transfer
    syntax which it was not offered, or if the response does not fit.
    """
    offered = tuple(context for context in request.presentation_contexts if context.context_id not in refused)
    _check_acceptances(accept, offered, transfer_syntaxes)
    patches: list[Patch] = []
    if titles:
        patches.append(Patch(_ECHOED_FIELDS.start, _ECHOED_FIELDS.stop, original_request[_ECHOED_FIELDS]))
    if refused:
        patches += _refused_contexts(accept, request.presentation_contexts, refused)
    information = accept.user_information
    inside = _negotiation_patches(information, _sop_classes(request, offered), scp_roles)
    if identity_response is not None:
        if len(identity_response) > _LONGEST_RESPONSE:
            raise InvalidPduParameter(f"user identity response of {len(identity_response)} bytes")
        item = encode_identity_response(identity_response)
        theirs = information.user_identity_response_span
        if information.span.start == information.span.end:
            item = encode_item(ItemType.USER_INFORMATION, item)
            patches.append(Patch(information.span.start, information.span.end, item))
        elif theirs is not None:
            inside.append(Patch(theirs.start, theirs.end, item))
        else:
            inside.append(Patch(information.span.end, information.span.end, item))
    return _apply(pdu, patches, information.span, inside)


def _title_patch(field: slice, title: str) -> Patch:
    return Patch(field.start, field.stop, encode_ae_title(title))


def _cut(span: Span) -> Patch:
    return Patch(span.start, span.end)


def _transfer_syntax_patch(pdu: bytes, context: PresentationContext, keep: frozenset[str]) -> Patch:
    """Patch length and body of a Presentation Context Item: the transfer syntaxes that are not kept go."""
    if keep.isdisjoint(context.transfer_syntaxes):
        raise ValueError(f"context {context.context_id}: no transfer syntax would be left")
    start, stop = context.span.start, context.span.end
    syntaxes = iter(context.transfer_syntaxes)
    at = start + _CONTEXT_FIELDS
    body = bytearray(pdu[start + _ITEM_HEADER : at])
    while at < stop:
        end = at + _ITEM_HEADER + (pdu[at + 2] << 8 | pdu[at + 3])
        if pdu[at] != _TRANSFER_SYNTAX or next(syntaxes) in keep:
            body += pdu[at:end]
        at = end
    return Patch(start + 2, stop, len(body).to_bytes(2, "big") + body)


def _sop_classes(request: AAssociateRQ, kept: Collection[PresentationContext]) -> frozenset[str] | None:
    """Return the SOP classes that the kept contexts name; None if every context is kept."""
    if len(kept) == len(request.presentation_contexts):
        return None
    return frozenset(context.abstract_syntax for context in kept)


def _negotiation_patches(
    information: UserInformation, sop_classes: frozenset[str] | None, scp_roles: frozenset[str] | None
) -> list[Patch]:
    """Cut the items of all but these SOP classes (None: keep all), and the SCP role of all but `scp_roles`."""
    patches: list[Patch] = []
    roles: Iterable[RoleSelection] = information.role_selections
    if sop_classes is not None:
        negotiations: tuple[RoleSelection | ExtendedNegotiation | CommonExtendedNegotiation, ...] = (
            *information.role_selections,
            *information.extended_negotiations,
            *information.common_extended_negotiations,
        )
        patches += [_cut(item.span) for item in negotiations if item.sop_class_uid not in sop_classes]
        roles = [role for role in roles if role.sop_class_uid in sop_classes]
    if scp_roles is not None:
        patches += [
            # The SCP role is the last byte (PS3.7 Table D.3-9). With no role left the default holds: SCU.
            Patch(role.span.end - 1, role.span.end, b"\0") if role.scu_role else _cut(role.span)
            for role in roles
            if role.scp_role and role.sop_class_uid not in scp_roles
        ]
    return patches


def _check_acceptances(
    accept: AAssociateAC, offered: Iterable[PresentationContext], transfer_syntaxes: frozenset[str] | None
) -> None:
    contexts = {context.context_id: context for context in offered}
    for answer in accept.presentation_contexts:
        syntax = answer.transfer_syntax
        if syntax is None:  # refused
            continue
        context = contexts.get(answer.context_id)
        if context is None:
            raise InvalidPduParameter(f"context {answer.context_id} is accepted but was not proposed")
        if syntax not in context.transfer_syntaxes or (
            transfer_syntaxes is not None and syntax not in transfer_syntaxes
        ):
            raise InvalidPduParameter(f"context {answer.context_id} is accepted with {syntax}, which was not proposed")


def _refused_contexts(
    accept: AAssociateAC, proposed: Iterable[PresentationContext], refused: frozenset[int]
) -> Iterable[Patch]:
    """Put each refused context after the answer to the one proposed before it, or in front of all answers.

    It replaces an answer that the upstream gave without having been asked.
    """
    answers = {answer.context_id: answer.span for answer in accept.presentation_contexts}
    place = min((span.start for span in answers.values()), default=accept.user_information.span.start)
    for context in proposed:
        answer = answers.get(context.context_id)
        if context.context_id in refused:
            item = encode_context_result(context.context_id, _USER_REJECTION, context.transfer_syntaxes[0])
            yield Patch(place, place, item) if answer is None else Patch(answer.start, answer.end, item)
        if answer is not None:
            place = answer.end


def _apply(pdu: bytes, patches: Iterable[Patch], information: Span, inside: Iterable[Patch]) -> bytes:
    """Apply the patches, and those `inside` the User Information Item, and fix both lengths."""
    # `inside` first: an addition at the end of the User Information Item precedes an item that is added after it.
    changes = [patch for patch in (*inside, *patches) if pdu[patch.start : patch.end] != patch.replacement]
    if not changes:
        return pdu
    growth = sum(patch.growth for patch in inside)
    if growth:
        length = information.end - information.start - 4 + growth
        if length > _LONGEST_ITEM:
            raise InvalidPduParameter(f"user information item would grow to {length} bytes")
        changes.append(Patch(information.start + 2, information.start + 4, length.to_bytes(2, "big")))
    length = len(pdu) - PDU_HEADER + sum(patch.growth for patch in changes)
    changes.append(Patch(PDU_HEADER - 4, PDU_HEADER, length.to_bytes(4, "big")))
    return splice(pdu, sorted(changes, key=lambda patch: patch.start))
