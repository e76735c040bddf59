"""Rows 45, 48, 52 to 65 and 69 of docs/robustness.md, as the parser sees them."""

import time

import pytest

from proxy.pdu import (
    APPLICATION_CONTEXT,
    MAX_PRESENTATION_CONTEXTS,
    AbortReason,
    InvalidPduParameter,
    PduError,
    PresentationContext,
    RequestAmbiguous,
    Span,
    UnexpectedParameter,
    UnexpectedPdu,
    encode_associate_rq,
    parse_associate_rq,
)
from proxy.pdu.encode import encode_item
from tests.support.pdus import (
    APPLICATION,
    CT_IMAGE_STORAGE,
    DCMTK_ECHOSCU,
    EXPLICIT_LE,
    IMPLICIT_LE,
    MAXIMUM_LENGTH,
    VERIFICATION,
    associate_ac,
    associate_rq,
    context,
    uid_item,
    user_information,
)


def context_of(*sub_items: bytes, context_id: int = 1) -> bytes:
    return encode_item(0x20, bytes((context_id, 0, 0, 0)) + b"".join(sub_items))


ABSTRACT = uid_item(0x30, VERIFICATION)
TRANSFER = uid_item(0x40, IMPLICIT_LE)


def test_dcmtk_echoscu() -> None:
    request = parse_associate_rq(DCMTK_ECHOSCU)
    assert (request.protocol_version, request.called.title, request.calling.title) == (1, "PACS", "CT1")
    assert request.application_context == APPLICATION_CONTEXT
    assert request.presentation_contexts == (PresentationContext(1, VERIFICATION, (IMPLICIT_LE,), Span(99, 149)),)
    information = request.user_information
    assert information.span == Span(149, len(DCMTK_ECHOSCU))
    assert information.maximum_length == 16_384
    assert information.implementation_class_uid == "1.2.276.0.7230010.3.0.3.6.7"
    assert information.implementation_version_name == "OFFIS_DCMTK_367"


@pytest.mark.parametrize("protocol_version", [0, 1, 2, 3, 0xFFFE])
def test_protocol_version_is_left_to_policy(protocol_version: int) -> None:
    assert parse_associate_rq(associate_rq(protocol_version=protocol_version)).protocol_version == protocol_version


def test_foreign_application_context_is_left_to_policy() -> None:
    pdu = associate_rq(uid_item(0x10, "1.2.3"), context(1), user_information())
    assert parse_associate_rq(pdu).application_context == "1.2.3"


def test_one_trailing_nul_of_the_application_context_is_cut() -> None:
    pdu = associate_rq(uid_item(0x10, APPLICATION_CONTEXT + "\0"), context(1), user_information())
    assert parse_associate_rq(pdu).application_context == APPLICATION_CONTEXT


def test_no_context_is_left_to_policy() -> None:
    assert parse_associate_rq(associate_rq(APPLICATION, user_information())).presentation_contexts == ()


def test_reserved_bytes_are_not_tested() -> None:
    item = bytearray(context(1))
    item[1] = item[5] = item[6] = item[7] = 0xFF
    pdu = bytearray(associate_rq(APPLICATION, bytes(item), user_information(), reserved=b"\xff" * 32))
    pdu[1] = pdu[8] = pdu[9] = 0xFF
    assert len(parse_associate_rq(bytes(pdu)).presentation_contexts) == 1


def test_order_of_items_and_ids_is_free() -> None:
    pdu = associate_rq(user_information(), context(255), context(1), APPLICATION)
    assert [item.context_id for item in parse_associate_rq(pdu).presentation_contexts] == [255, 1]


def test_unknown_items_are_skipped_everywhere() -> None:
    unknown = encode_item(0xEE, b"\xff" * 9)
    pdu = associate_rq(
        unknown, APPLICATION, context_of(unknown, ABSTRACT, TRANSFER), user_information(unknown), encode_item(0, b"")
    )
    request = parse_associate_rq(pdu)
    assert request.presentation_contexts[0].abstract_syntax == VERIFICATION
    assert request.user_information.maximum_length == 16_384


def test_transfer_syntaxes_keep_order_and_repetitions() -> None:
    syntaxes = (EXPLICIT_LE, IMPLICIT_LE, EXPLICIT_LE, *(f"1.2.{i}" for i in range(200)))
    request = parse_associate_rq(associate_rq(APPLICATION, context(1, VERIFICATION, *syntaxes), user_information()))
    assert request.presentation_contexts[0].transfer_syntaxes == syntaxes


def test_as_many_contexts_as_there_are_ids() -> None:
    contexts = [context(i) for i in range(1, 256, 2)]
    request = parse_associate_rq(associate_rq(APPLICATION, *contexts, user_information()))
    assert len(request.presentation_contexts) == MAX_PRESENTATION_CONTEXTS


@pytest.mark.parametrize("count", [129, 2_000])
def test_too_many_contexts_are_left_to_policy_and_not_all_read(count: int) -> None:
    contexts = [context((2 * i + 1) % 256) for i in range(count)]
    request = parse_associate_rq(associate_rq(APPLICATION, *contexts, user_information()))
    assert len(request.presentation_contexts) == MAX_PRESENTATION_CONTEXTS + 1


INVALID = {
    "no application context": associate_rq(context(1), user_information()),
    "application context empty": associate_rq(uid_item(0x10, ""), context(1), user_information()),
    "application context of 65 bytes": associate_rq(uid_item(0x10, "1" * 65), context(1), user_information()),
    "application context of 65535 bytes": associate_rq(uid_item(0x10, "1" * 65_535), context(1), user_information()),
    "no user information": associate_rq(APPLICATION, context(1)),
    "context without abstract syntax": associate_rq(APPLICATION, context_of(TRANSFER), user_information()),
    "context with two": associate_rq(APPLICATION, context_of(ABSTRACT, ABSTRACT, TRANSFER), user_information()),
    "context without transfer syntax": associate_rq(APPLICATION, context_of(ABSTRACT), user_information()),
    "context item of 0 bytes": associate_rq(APPLICATION, encode_item(0x20, b""), user_information()),
    "context item of 3 bytes": associate_rq(APPLICATION, encode_item(0x20, b"\1\0\0"), user_information()),
    "abstract syntax empty": associate_rq(APPLICATION, context(1, ""), user_information()),
    "transfer syntax with a letter": associate_rq(APPLICATION, context(1, VERIFICATION, "1.x"), user_information()),
    "item past the end by 1": associate_rq(APPLICATION, context(1), user_information(), b"\xee\0\0\1"),
    "item past the end by 65535": associate_rq(APPLICATION, context(1), user_information(), b"\xee\0\xff\xff"),
    "1 byte left": associate_rq(APPLICATION, context(1), user_information(), b"\xee"),
    "2 bytes left": associate_rq(APPLICATION, context(1), user_information(), b"\xee\0"),
    "3 bytes left": associate_rq(APPLICATION, context(1), user_information(), b"\xee\0\0"),
    "3 bytes left in a context": associate_rq(
        APPLICATION, context_of(ABSTRACT, TRANSFER, b"\x40\0\0"), user_information()
    ),
    "sub-item past its context": associate_rq(
        APPLICATION, context_of(ABSTRACT, TRANSFER, b"\x40\0\0\x11"), user_information()
    ),
    "fixed fields alone": associate_rq()[:2] + (68).to_bytes(4, "big") + associate_rq()[6:74],
    "length field too small": associate_rq()[:5] + b"\0" + associate_rq()[6:],
    "length field of 4 GiB": associate_rq()[:2] + b"\xff" * 4 + associate_rq()[6:],
    "a byte behind the PDU": associate_rq() + b"\0",
    "cut": associate_rq()[:-1],
    "title of 18 bytes shifts all": associate_rq(called=b"TITLE_OF_18_LETTER"),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid(name: str) -> None:
    with pytest.raises(InvalidPduParameter) as caught:
        parse_associate_rq(INVALID[name])
    assert caught.value.abort_reason == AbortReason.INVALID_PDU_PARAMETER


AMBIGUOUS = {
    "application context twice": associate_rq(APPLICATION, APPLICATION, context(1), user_information()),
    "user information twice": associate_rq(APPLICATION, context(1), user_information(), user_information()),
    "maximum length twice": associate_rq(APPLICATION, context(1), user_information(MAXIMUM_LENGTH)),
    "even context id": associate_rq(APPLICATION, context(2), user_information()),
    "context id 0": associate_rq(APPLICATION, context(0), user_information()),
    "context id twice": associate_rq(APPLICATION, context(1), context(3), context(1), user_information()),
    "called AE title": associate_rq(called=b"ALLOWED\0EVIL    "),
    "calling AE title": associate_rq(calling=b"CT\\1            "),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_ambiguous(name: str) -> None:
    with pytest.raises(RequestAmbiguous):
        parse_associate_rq(AMBIGUOUS[name])


@pytest.mark.parametrize(
    "pdu",
    [
        # DCMTK reads this as a proposal: what policy did not see would reach the PACS.
        associate_rq(APPLICATION, context(1), b"\x21" + context(3, CT_IMAGE_STORAGE)[1:], user_information()),
        associate_rq(APPLICATION, context(1), MAXIMUM_LENGTH, user_information()),
        associate_rq(APPLICATION, context_of(ABSTRACT, TRANSFER, APPLICATION), user_information()),
        associate_rq(APPLICATION, context(1), user_information(encode_item(0x59, b"\0\0"))),
    ],
    ids=["context answer", "sub-item outside", "application context inside", "identity response"],
)
def test_known_item_out_of_place(pdu: bytes) -> None:
    with pytest.raises(UnexpectedParameter):
        parse_associate_rq(pdu)


def test_another_pdu_type() -> None:
    with pytest.raises(UnexpectedPdu):
        parse_associate_rq(associate_ac())


@pytest.mark.parametrize("length", [0, 1, 5, 6, 73])
def test_less_than_the_fixed_fields(length: int) -> None:
    with pytest.raises(InvalidPduParameter):
        parse_associate_rq(associate_rq()[:length])


def test_every_cut_with_a_corrected_length_is_refused() -> None:
    whole = associate_rq()
    for end in range(6, len(whole)):
        with pytest.raises((PduError, RequestAmbiguous)):
            parse_associate_rq(whole[:2] + (end - 6).to_bytes(4, "big") + whole[6:end])


def cpu_seconds(pdu: bytes) -> float:
    """The best of three."""
    times = []
    for _ in range(3):
        start = time.thread_time()
        parse_associate_rq(pdu)
        times.append(time.thread_time() - start)
    return min(times)


def test_the_largest_sensible_requests_parse_in_less_than_50_ms() -> None:
    uids = [f"1.2.840.10008.{i}" for i in range(10_000, 22_000)]
    many_uids = encode_associate_rq(
        "PACS", "CT1", [(2 * i + 1, VERIFICATION, uids[i * 1_000 : (i + 1) * 1_000]) for i in range(12)]
    )
    assert 250_000 < len(many_uids) < 256 * 1_024 + 32_768
    full_grid = encode_associate_rq(
        "PACS", "CT1", [(2 * i + 1, CT_IMAGE_STORAGE, uids[:53]) for i in range(MAX_PRESENTATION_CONTEXTS)]
    )
    assert cpu_seconds(many_uids) < 0.05
    assert cpu_seconds(full_grid) < 0.05


def test_time_is_linear_in_the_length() -> None:
    small, large = (associate_rq(APPLICATION, user_information(), b"\xee\0\0\0" * n) for n in (5_000, 50_000))
    assert cpu_seconds(large) < 30 * cpu_seconds(small)
