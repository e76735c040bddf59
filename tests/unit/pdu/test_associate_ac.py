import pytest

from proxy.pdu import InvalidPduParameter, PresentationContextResult, Span, UnexpectedPdu, parse_associate_ac
from proxy.pdu.encode import encode_item
from tests.support.pdus import (
    APPLICATION,
    EXPLICIT_LE,
    IMPLICIT_LE,
    MAXIMUM_LENGTH,
    answer,
    associate_ac,
    associate_rq,
    context,
    encode_associate_ac,
    identity,
    user_information,
)


def results(pdu: bytes) -> list[tuple[int, int, str | None]]:
    contexts = parse_associate_ac(pdu).presentation_contexts
    return [(item.context_id, item.result, item.transfer_syntax) for item in contexts]


def test_encoded_answer_parses() -> None:
    pdu = encode_associate_ac(
        "PACS",
        "CT1",
        [(1, 0, IMPLICIT_LE), (3, 3, EXPLICIT_LE), (5, 4, None)],
        maximum_length=0,
        roles=[("1.2", False, True)],
        user_identity_response=b"ticket",
    )
    accept = parse_associate_ac(pdu)
    assert accept.protocol_version == 1
    assert results(pdu) == [(1, 0, IMPLICIT_LE), (3, 3, None), (5, 4, None)]
    information = accept.user_information
    assert (information.maximum_length, information.user_identity_response) == (0, b"ticket")
    assert information.user_identity_response_span == Span(len(pdu) - 12, len(pdu))
    (role,) = information.role_selections
    assert (role.sop_class_uid, role.scu_role, role.scp_role) == ("1.2", False, True)


@pytest.mark.parametrize("result", [1, 2, 3, 4, 5, 255])
@pytest.mark.parametrize("rest", [b"", b"\x40\0\0\0", b"\x40\0\0\5xx", b"garbage"])
def test_behind_a_rejection_nothing_is_significant(result: int, rest: bytes) -> None:
    item = encode_item(0x21, bytes((1, 0, result, 0)) + rest)
    pdu = associate_ac(APPLICATION, item, user_information())
    span = Span(99, 99 + len(item))
    assert parse_associate_ac(pdu).presentation_contexts == (PresentationContextResult(1, result, None, span),)


@pytest.mark.parametrize("titles", [bytes(16), b"\xff" * 16, b"A\0B".ljust(16), b" " * 16])
def test_title_fields_are_not_read(titles: bytes) -> None:
    assert results(associate_ac(called=titles, calling=titles)) == [(1, 0, IMPLICIT_LE)]


def test_no_context_accepted_is_legal() -> None:
    assert results(associate_ac(APPLICATION, user_information())) == []


def test_what_does_not_belong_there_is_skipped() -> None:
    pdu = associate_ac(
        encode_item(0xEE, b"?"), APPLICATION, context(1), answer(1, 0, IMPLICIT_LE), user_information(identity(9, b"?"))
    )
    assert results(pdu) == [(1, 0, IMPLICIT_LE)]


def test_user_information_and_application_context_may_be_absent() -> None:
    pdu = associate_ac(answer(1, 0, IMPLICIT_LE))
    assert results(pdu) == [(1, 0, IMPLICIT_LE)]
    assert parse_associate_ac(pdu).user_information.span == Span(len(pdu), len(pdu))


INVALID = {
    "accepted without transfer syntax": associate_ac(APPLICATION, answer(1), user_information()),
    "accepted with two": associate_ac(APPLICATION, answer(1, 0, IMPLICIT_LE, EXPLICIT_LE), user_information()),
    "accepted with what is no UID": associate_ac(APPLICATION, answer(1, 0, "x"), user_information()),
    "one context answered twice": associate_ac(
        APPLICATION, answer(1, 0, IMPLICIT_LE), answer(1, 3), user_information()
    ),
    "context item of 3 bytes": associate_ac(APPLICATION, encode_item(0x21, b"\1\0\1"), user_information()),
    "application context twice": associate_ac(APPLICATION, APPLICATION, user_information()),
    "user information twice": associate_ac(APPLICATION, user_information(), user_information()),
    "maximum length twice": associate_ac(APPLICATION, user_information(MAXIMUM_LENGTH)),
    "identity response cut": associate_ac(APPLICATION, user_information(encode_item(0x59, b"\0\5abc"))),
    "identity response too long": associate_ac(APPLICATION, user_information(encode_item(0x59, b"\0\1abc"))),
    "length field": associate_ac()[:-1],
    "fixed fields cut": associate_ac()[:70],
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid(name: str) -> None:
    with pytest.raises(InvalidPduParameter):
        parse_associate_ac(INVALID[name])


def test_another_pdu_type() -> None:
    with pytest.raises(UnexpectedPdu):
        parse_associate_ac(associate_rq())
