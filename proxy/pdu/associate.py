"""Parses complete A-ASSOCIATE-RQ and -AC PDUs (PS3.8 sections 9.3.2 and 9.3.3), in time linear in their length."""

from dataclasses import dataclass

from proxy.pdu.ae_title import read_ae_title
from proxy.pdu.errors import InvalidPduParameter, RequestAmbiguous, UnexpectedPdu
from proxy.pdu.items import accept_items, request_items
from proxy.pdu.memory import ItemMemory
from proxy.pdu.model import (
    MAX_PRESENTATION_CONTEXTS,
    AAssociateAC,
    AAssociateRQ,
    ItemType,
    PduType,
    PresentationContext,
    PresentationContextResult,
    Span,
    UserInformation,
)
from proxy.pdu.reader import ByteReader
from proxy.pdu.user_information import parse_accept_user_information, parse_request_user_information

# Positions of the fixed fields (PS3.8 Table 9-11). 32 reserved bytes precede the first item.
PDU_HEADER = 6
CALLED_AE_TITLE = slice(10, 26)
CALLING_AE_TITLE = slice(26, 42)
FIRST_ITEM = 74

ACCEPTANCE = 0  # PS3.8 Table 9-18

_REQUEST_ITEMS = frozenset({ItemType.APPLICATION_CONTEXT, ItemType.PRESENTATION_CONTEXT_RQ, ItemType.USER_INFORMATION})
_ACCEPT_ITEMS = frozenset({ItemType.APPLICATION_CONTEXT, ItemType.PRESENTATION_CONTEXT_AC, ItemType.USER_INFORMATION})
_CONTEXT_ITEMS = frozenset({ItemType.ABSTRACT_SYNTAX, ItemType.TRANSFER_SYNTAX})
_RESULT_ITEMS = frozenset({ItemType.TRANSFER_SYNTAX})


@dataclass(frozen=True, slots=True)
class _RequestItems:
    """The parsed items of an A-ASSOCIATE-RQ."""

    application_context: str
    presentation_contexts: tuple[PresentationContext, ...]
    user_information: UserInformation


@dataclass(frozen=True, slots=True)
class _AcceptItems:
    """The parsed items of an A-ASSOCIATE-AC."""

    presentation_contexts: tuple[PresentationContextResult, ...]
    user_information: UserInformation


_REQUESTS: ItemMemory[_RequestItems] = ItemMemory()
_ACCEPTS: ItemMemory[_AcceptItems] = ItemMemory()


def parse_associate_rq(pdu: bytes) -> AAssociateRQ:
    """Parse an A-ASSOCIATE-RQ with its header. Raises PduError, or RequestAmbiguous where parsers would differ."""
    body = _open(pdu, PduType.A_ASSOCIATE_RQ)
    encoded = pdu[FIRST_ITEM:]
    items = _REQUESTS.recall(encoded)
    if items is None:
        items = _parse_request_items(body)
        if items.user_information.user_identity is None:  # a password or ticket must not be remembered
            _REQUESTS.remember(encoded, items)
    return AAssociateRQ(
        protocol_version=int.from_bytes(pdu[6:8], "big"),
        # Read after the items: a title that is too long shifts them, which makes the PDU invalid, not ambiguous.
        called=read_ae_title(pdu[CALLED_AE_TITLE]),
        calling=read_ae_title(pdu[CALLING_AE_TITLE]),
        application_context=items.application_context,
        presentation_contexts=items.presentation_contexts,
        user_information=items.user_information,
    )


def parse_associate_ac(pdu: bytes) -> AAssociateAC:
    """Parse an A-ASSOCIATE-AC with its header. Raises PduError."""
    body = _open(pdu, PduType.A_ASSOCIATE_AC)
    encoded = pdu[FIRST_ITEM:]
    items = _ACCEPTS.recall(encoded)
    if items is None:
        items = _parse_accept_items(body)
        if items.user_information.user_identity_response is None:  # may be a Kerberos ticket
            _ACCEPTS.remember(encoded, items)
    return AAssociateAC(
        protocol_version=int.from_bytes(pdu[6:8], "big"),
        presentation_contexts=items.presentation_contexts,
        user_information=items.user_information,
    )


def _open(pdu: bytes, expected: PduType) -> ByteReader:
    """Check the header and the fixed fields; return a reader of the items."""
    if len(pdu) < FIRST_ITEM:
        raise InvalidPduParameter(f"{len(pdu)} bytes where the fixed fields need {FIRST_ITEM}")
    if pdu[0] != expected:
        raise UnexpectedPdu(f"PDU type {pdu[0]:02X}H instead of {expected:02X}H")
    length = int.from_bytes(pdu[2:6], "big")
    if length != len(pdu) - PDU_HEADER:
        raise InvalidPduParameter(f"PDU length field {length} on {len(pdu) - PDU_HEADER} bytes")
    return ByteReader(pdu, FIRST_ITEM)


def _parse_request_items(body: ByteReader) -> _RequestItems:
    application_context: str | None = None
    user_information: UserInformation | None = None
    contexts: list[PresentationContext] = []
    for item_type, item in request_items(body, _REQUEST_ITEMS):
        if item_type == ItemType.PRESENTATION_CONTEXT_RQ:
            # One too many is enough to refuse the request: parsing a megabyte of further ones would only cost time.
            if len(contexts) <= MAX_PRESENTATION_CONTEXTS:
                contexts.append(_parse_presentation_context(item))
        elif item_type == ItemType.APPLICATION_CONTEXT:
            application_context = item.uid()
        else:
            user_information = parse_request_user_information(item)
    if application_context is None:
        raise InvalidPduParameter("no application context item")
    if user_information is None:
        raise InvalidPduParameter("no user information item")
    if len(contexts) <= MAX_PRESENTATION_CONTEXTS:
        _check_context_ids(contexts)
    return _RequestItems(application_context, tuple(contexts), user_information)


def _parse_accept_items(body: ByteReader) -> _AcceptItems:
    user_information = UserInformation(span=Span(body.end, body.end))
    results: dict[int, PresentationContextResult] = {}
    for item_type, item in accept_items(body, _ACCEPT_ITEMS):
        if item_type == ItemType.PRESENTATION_CONTEXT_AC:
            result = _parse_presentation_context_result(item)
            if result.context_id in results:
                raise InvalidPduParameter(f"context {result.context_id}: second answer")
            results[result.context_id] = result
        elif item_type == ItemType.USER_INFORMATION:
            user_information = parse_accept_user_information(item)
    return _AcceptItems(tuple(results.values()), user_information)


def _parse_presentation_context(body: ByteReader) -> PresentationContext:
    """Parse the body of a Presentation Context Item of an A-ASSOCIATE-RQ (PS3.8 Table 9-13)."""
    context_id = body.uint8()
    body.skip(3)  # reserved: not tested on receipt
    abstract_syntax: str | None = None
    transfer_syntaxes: list[str] = []
    for item_type, item in request_items(body, _CONTEXT_ITEMS):
        if item_type == ItemType.TRANSFER_SYNTAX:
            transfer_syntaxes.append(item.uid())
        elif abstract_syntax is not None:
            raise InvalidPduParameter(f"context {context_id}: second abstract syntax")
        else:
            abstract_syntax = item.uid()
    if abstract_syntax is None or not transfer_syntaxes:
        raise InvalidPduParameter(f"context {context_id}: incomplete")
    return PresentationContext(context_id, abstract_syntax, tuple(transfer_syntaxes), body.span)


def _check_context_ids(contexts: list[PresentationContext]) -> None:
    """Check that ids are odd and unique (PS3.8 section 9.3.2.2). Parsers differ on which of two equal ids counts."""
    seen: set[int] = set()
    for context in contexts:
        if context.context_id % 2 == 0:
            raise RequestAmbiguous(f"context id {context.context_id} is not odd")
        if context.context_id in seen:
            raise RequestAmbiguous(f"context id {context.context_id} twice")
        seen.add(context.context_id)


def _parse_presentation_context_result(body: ByteReader) -> PresentationContextResult:
    """Parse the body of a Presentation Context Item of an A-ASSOCIATE-AC (PS3.8 Table 9-18)."""
    context_id = body.uint8()
    body.skip(1)
    result = body.uint8()
    body.skip(1)
    if result != ACCEPTANCE:
        return PresentationContextResult(context_id, result, None, body.span)
    transfer_syntaxes = [item.uid() for _, item in accept_items(body, _RESULT_ITEMS)]
    if len(transfer_syntaxes) != 1:
        raise InvalidPduParameter(f"context {context_id}: accepted with {len(transfer_syntaxes)} transfer syntaxes")
    return PresentationContextResult(context_id, result, transfer_syntaxes[0], body.span)
