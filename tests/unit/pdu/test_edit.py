from typing import Any

import pytest

from proxy.pdu import (
    InvalidPduParameter,
    edit_associate_rq,
    parse_associate_ac,
    parse_associate_rq,
    restore_associate_ac,
)
from proxy.pdu.encode import encode_item
from tests.support.pdus import (
    APPLICATION,
    CT_IMAGE_STORAGE,
    DCMTK_ECHOSCU,
    EXPLICIT_LE,
    IMPLICIT_LE,
    MR_IMAGE_STORAGE,
    VERIFICATION,
    answer,
    associate_ac,
    associate_rq,
    context,
    counted,
    identity,
    role,
    user_information,
)

UNKNOWN = encode_item(0xEE, b"kept as it is")
CT_ROLE = role(CT_IMAGE_STORAGE, 0, 1)
MR_ROLE = role(MR_IMAGE_STORAGE, 0, 1)
MR_EXTENDED = encode_item(0x56, counted(MR_IMAGE_STORAGE.encode()) + b"\2")
MR_COMMON = encode_item(0x57, counted(MR_IMAGE_STORAGE.encode()) + counted(b"1.2.840.10008.4.2") + counted(b""))
USER = identity(2, b"alice", b"secret")


def full_request(
    *,
    contexts: tuple[int, ...] = (1, 3, 5, 7),
    negotiations: tuple[bytes, ...] = (CT_ROLE, MR_ROLE, UNKNOWN, MR_EXTENDED, MR_COMMON),
    user: bytes = USER,
    called: bytes = b" PACS".ljust(16),
    calling: bytes = b"CT1".ljust(16, b"\0"),
) -> bytes:
    """Context 1 is verification, 3 and 7 are CT, 5 is MR; unknown items, odd reserved bytes and an unusual order."""
    proposals = {
        1: context(1, VERIFICATION),
        3: context(3, CT_IMAGE_STORAGE, EXPLICIT_LE, IMPLICIT_LE),
        5: context(5, MR_IMAGE_STORAGE, IMPLICIT_LE + "\0"),
        7: context(7, CT_IMAGE_STORAGE),
    }
    return associate_rq(
        user_information(*negotiations, user),
        UNKNOWN,
        *(proposals[i] for i in contexts),
        APPLICATION,
        UNKNOWN,
        called=called,
        calling=calling,
        reserved=b"\xa5" * 32,
    )


REQUEST = full_request()


def edit(pdu: bytes, **changes: Any) -> bytes:
    return edit_associate_rq(pdu, parse_associate_rq(pdu), **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"called": "PACS", "calling": "CT1"},
        {"keep_contexts": frozenset({1})},
        {"keep_contexts": frozenset({1, 3, 99})},
        {"strip_user_identity": True},
    ],
)
def test_nothing_to_change_gives_the_same_object(changes: dict[str, Any]) -> None:
    assert edit(DCMTK_ECHOSCU, **changes) is DCMTK_ECHOSCU


def test_titles_become_canonical_and_nothing_else_changes() -> None:
    edited = edit(REQUEST, called="PACS", calling="CT1")
    assert edited == full_request(called=b"PACS".ljust(16), calling=b"CT1".ljust(16))


def test_title_of_16_characters() -> None:
    assert edit(REQUEST, called="SIXTEEN_LETTERS_") == full_request(called=b"SIXTEEN_LETTERS_")


def test_refused_context_goes_with_its_negotiation_items() -> None:
    edited = edit(REQUEST, keep_contexts=frozenset({1, 3, 7}))
    assert edited == full_request(contexts=(1, 3, 7), negotiations=(CT_ROLE, UNKNOWN))


def test_negotiation_items_stay_while_another_context_names_the_sop_class() -> None:
    edited = edit(REQUEST, keep_contexts=frozenset({1, 5, 7}))
    assert edited == full_request(contexts=(1, 5, 7))


def test_user_identity_is_cut() -> None:
    assert edit(REQUEST, strip_user_identity=True) == full_request(user=b"")


def test_all_edits_at_once() -> None:
    edited = edit(REQUEST, called="NEW", calling="GATEWAY", keep_contexts=frozenset({5}), strip_user_identity=True)
    assert edited == full_request(
        contexts=(5,),
        negotiations=(MR_ROLE, UNKNOWN, MR_EXTENDED, MR_COMMON),
        user=b"",
        called=b"NEW".ljust(16),
        calling=b"GATEWAY".ljust(16),
    )
    assert [item.context_id for item in parse_associate_rq(edited).presentation_contexts] == [5]


def restore(pdu: bytes, **changes: Any) -> bytes:
    return restore_associate_ac(pdu, parse_associate_ac(pdu), parse_associate_rq(REQUEST), REQUEST, **changes)


def accept_of(*answers: bytes, sub_items: tuple[bytes, ...] = ()) -> bytes:
    return associate_ac(APPLICATION, UNKNOWN, *answers, UNKNOWN, user_information(*sub_items, UNKNOWN))


YES = {i: answer(i, 0, IMPLICIT_LE) for i in (1, 3, 5, 7)}
NO = {
    1: answer(1, 1, IMPLICIT_LE),
    3: answer(3, 1, EXPLICIT_LE),
    5: answer(5, 1, IMPLICIT_LE),
    7: answer(7, 1, IMPLICIT_LE),
}


def test_nothing_to_restore_gives_the_same_object() -> None:
    pdu = accept_of(YES[1])
    assert restore(pdu) is pdu
    echoed = associate_ac(called=REQUEST[10:26], calling=REQUEST[26:42])
    assert restore(echoed, titles=True) is echoed


@pytest.mark.parametrize("refused", [{1}, {3}, {7}, {1, 3}, {3, 5}, {5, 7}, {1, 7}, {1, 3, 5}, {3, 5, 7}])
def test_refused_contexts_return_in_the_order_of_the_requestor(refused: set[int]) -> None:
    accepted = accept_of(*(YES[i] for i in YES if i not in refused))
    assert restore(accepted, refused=frozenset(refused)) == accept_of(*((NO if i in refused else YES)[i] for i in YES))


def test_with_no_answer_to_stand_beside_they_go_before_the_user_information() -> None:
    restored = restore(accept_of(), refused=frozenset({1, 3}))
    assert restored == associate_ac(APPLICATION, UNKNOWN, UNKNOWN, NO[1], NO[3], user_information(UNKNOWN))


def test_an_upstream_that_answers_in_another_order_keeps_it() -> None:
    restored = restore(accept_of(YES[7], YES[1]), refused=frozenset({3, 5}))
    assert restored == accept_of(YES[7], YES[1], NO[3], NO[5])


def test_titles_return_as_they_were_sent() -> None:
    restored = restore(accept_of(YES[1]), titles=True)
    assert restored[10:42] == REQUEST[10:42]
    assert restored[42:] == accept_of(YES[1])[42:]
    assert restored[:10] == accept_of(YES[1])[:10]


def test_identity_response_is_added_at_the_end_of_the_user_information() -> None:
    restored = restore(associate_ac(APPLICATION, YES[1], user_information(UNKNOWN), UNKNOWN), identity_response=b"ok")
    ours = encode_item(0x59, counted(b"ok"))
    assert restored == associate_ac(APPLICATION, YES[1], user_information(UNKNOWN, ours), UNKNOWN)


def test_identity_response_replaces_that_of_the_upstream() -> None:
    theirs, ours = (encode_item(0x59, counted(value)) for value in (b"their ticket", b""))
    restored = restore(accept_of(YES[1], sub_items=(theirs,)), identity_response=b"")
    assert restored == accept_of(YES[1], sub_items=(ours,))


def test_user_information_in_front_of_the_contexts() -> None:
    accept = associate_ac(APPLICATION, user_information(), YES[3])
    restored = restore(accept, refused=frozenset({1}), identity_response=b"")
    assert restored == associate_ac(APPLICATION, user_information(b"\x59\0\0\2\0\0"), NO[1], YES[3])


def test_answer_without_user_information_gets_one_for_the_response() -> None:
    restored = restore(associate_ac(APPLICATION), refused=frozenset({1}), identity_response=b"ok")
    assert restored == associate_ac(APPLICATION, NO[1], encode_item(0x50, b"\x59\0\0\4\0\2ok"))


def test_an_answer_to_a_context_that_was_cut_is_an_error_of_the_upstream() -> None:
    with pytest.raises(InvalidPduParameter, match="3"):
        restore(accept_of(YES[1], YES[3]), refused=frozenset({3, 5}))


@pytest.mark.parametrize("size", [65_500, 65_529, 65_530, 70_000])
def test_a_response_that_does_not_fit(size: int) -> None:
    with pytest.raises(InvalidPduParameter):
        restore(accept_of(YES[1]), identity_response=bytes(size))
