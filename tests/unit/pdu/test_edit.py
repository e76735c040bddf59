from typing import Any

import pytest

from proxy.pdu import (
    InvalidPduParameter,
    edit_associate_rq,
    encode_associate_rq,
    parse_associate_ac,
    parse_associate_rq,
    rename_implementation,
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
    encode_associate_ac,
    identity,
    role,
    uid_item,
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
        {"transfer_syntaxes": frozenset({IMPLICIT_LE})},
        {"scp_roles": frozenset()},
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


def test_where_every_context_is_kept_no_negotiation_item_goes() -> None:
    pdu = full_request(contexts=(1,))
    assert edit(pdu, keep_contexts=frozenset({1})) is pdu


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


def odd_context(*syntaxes: bytes) -> bytes:
    """Context 9 with odd reserved bytes, the abstract syntax behind the first transfer syntax, an unknown sub-item."""
    first, *others = syntaxes
    body = b"\x09\xa1\xa2\xa3" + first + uid_item(0x30, CT_IMAGE_STORAGE + "\0") + UNKNOWN + b"".join(others)
    return b"\x20\xa4" + counted(body)


EXPLICIT_ITEM = b"\x40\xa5" + counted(EXPLICIT_LE.encode())
IMPLICIT_ITEM = b"\x40\xa6" + counted(IMPLICIT_LE.encode() + b"\0")
JPEG_ITEM = uid_item(0x40, "1.2.840.10008.1.2.4.50")


def test_transfer_syntaxes_are_cut_and_nothing_else_changes() -> None:
    def request(*syntaxes: bytes) -> bytes:
        return associate_rq(APPLICATION, context(1), odd_context(*syntaxes), UNKNOWN, user_information(CT_ROLE, USER))

    pdu = request(EXPLICIT_ITEM, JPEG_ITEM, IMPLICIT_ITEM, EXPLICIT_ITEM)
    assert edit(pdu, transfer_syntaxes=frozenset({IMPLICIT_LE, EXPLICIT_LE})) == request(
        EXPLICIT_ITEM, IMPLICIT_ITEM, EXPLICIT_ITEM
    )
    assert edit(pdu, transfer_syntaxes=frozenset({IMPLICIT_LE})) == request(b"", IMPLICIT_ITEM)


def test_a_context_that_goes_may_have_no_transfer_syntax_that_stays() -> None:
    edited = edit(REQUEST, keep_contexts=frozenset({3}), transfer_syntaxes=frozenset({EXPLICIT_LE}))
    (kept,) = parse_associate_rq(edited).presentation_contexts
    assert (kept.context_id, kept.transfer_syntaxes) == (3, (EXPLICIT_LE,))


def test_a_kept_context_without_a_transfer_syntax_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="context 1: no transfer syntax"):
        edit(REQUEST, transfer_syntaxes=frozenset({EXPLICIT_LE}))


@pytest.mark.parametrize(
    ("sent", "forwarded"),
    [
        (role(CT_IMAGE_STORAGE, 1, 1), role(CT_IMAGE_STORAGE, 1, 0)),
        (role(CT_IMAGE_STORAGE, 1, 1) + MR_ROLE, role(CT_IMAGE_STORAGE, 1, 0) + MR_ROLE),
        (CT_ROLE + MR_ROLE + CT_ROLE, MR_ROLE),
        (role(CT_IMAGE_STORAGE, 1, 0), role(CT_IMAGE_STORAGE, 1, 0)),
        (role(CT_IMAGE_STORAGE, 0, 0), role(CT_IMAGE_STORAGE, 0, 0)),
        (role(MR_IMAGE_STORAGE, 1, 1), role(MR_IMAGE_STORAGE, 1, 1)),
        (role(CT_IMAGE_STORAGE + "\0", 1, 1), role(CT_IMAGE_STORAGE + "\0", 1, 0)),
    ],
)
def test_the_scp_role_is_cut(sent: bytes, forwarded: bytes) -> None:
    edited = edit(full_request(negotiations=(sent, UNKNOWN)), scp_roles=frozenset({MR_IMAGE_STORAGE}))
    assert edited == full_request(negotiations=(forwarded, UNKNOWN))


def test_the_role_of_a_context_that_goes_is_cut_once() -> None:
    negotiations = (role(MR_IMAGE_STORAGE, 1, 1), MR_EXTENDED, role(CT_IMAGE_STORAGE, 1, 1), UNKNOWN)
    edited = edit(full_request(negotiations=negotiations), keep_contexts=frozenset({1, 3, 7}), scp_roles=frozenset())
    assert edited == full_request(contexts=(1, 3, 7), negotiations=(role(CT_IMAGE_STORAGE, 1, 0), UNKNOWN))


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
    echoed = pdu[:10] + REQUEST[10:74] + pdu[74:]
    assert restore(echoed, titles=True) is echoed
    everything = frozenset({CT_IMAGE_STORAGE, IMPLICIT_LE})
    granted = accept_of(*YES.values(), sub_items=(CT_ROLE, MR_EXTENDED, role("1.2.3", 1, 0)))
    assert restore(granted, transfer_syntaxes=everything, scp_roles=everything) is granted


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


def test_titles_and_reserved_bytes_return_as_they_were_sent() -> None:
    accept = accept_of(YES[1])
    assert restore(accept, titles=True) == accept[:10] + REQUEST[10:74] + accept[74:]


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


@pytest.mark.parametrize("context_id", [3, 4, 9])
def test_a_context_that_was_not_forwarded_must_not_be_accepted(context_id: int) -> None:
    with pytest.raises(InvalidPduParameter, match=f"context {context_id} is accepted but was not proposed"):
        restore(accept_of(YES[1], answer(context_id, 0, IMPLICIT_LE)), refused=frozenset({3, 5}))


def test_a_refusal_of_what_was_not_forwarded_harms_nobody() -> None:
    theirs = answer(3, 4, "1.2"), answer(9, 3)
    restored = restore(accept_of(YES[1], theirs[0], YES[7], theirs[1]), refused=frozenset({3, 5}))
    assert restored == accept_of(YES[1], NO[3], NO[5], YES[7], theirs[1])


def test_what_the_upstream_left_out_stays_out() -> None:
    assert restore(accept_of(YES[1]), refused=frozenset({5})) == accept_of(YES[1], NO[5])


@pytest.mark.parametrize("context_id", [3, 5])
def test_an_accepted_transfer_syntax_must_have_been_forwarded(context_id: int) -> None:
    forwarded = {"transfer_syntaxes": frozenset({IMPLICIT_LE})}
    assert restore(accept_of(YES[context_id]), **forwarded) == accept_of(YES[context_id])
    for changes in ({}, forwarded) if context_id == 5 else (forwarded,):
        with pytest.raises(InvalidPduParameter, match=f"context {context_id} is accepted with {EXPLICIT_LE}, which"):
            restore(accept_of(answer(context_id, 0, EXPLICIT_LE)), **changes)
    refused = accept_of(answer(context_id, 4, EXPLICIT_LE))
    assert restore(refused, **forwarded) is refused


def test_answers_about_what_was_cut_go() -> None:
    sub_items = (MR_ROLE, UNKNOWN, role(CT_IMAGE_STORAGE, 1, 0), MR_EXTENDED)
    restored = restore(accept_of(YES[1], YES[3], YES[7], sub_items=sub_items), refused=frozenset({5}))
    assert restored == accept_of(YES[1], YES[3], NO[5], YES[7], sub_items=(UNKNOWN, role(CT_IMAGE_STORAGE, 1, 0)))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (role(CT_IMAGE_STORAGE, 1, 1), role(CT_IMAGE_STORAGE, 1, 0)),
        (CT_ROLE, b""),
        (role(CT_IMAGE_STORAGE, 0, 0), role(CT_IMAGE_STORAGE, 0, 0)),
        (MR_ROLE, MR_ROLE),
    ],
)
def test_an_scp_role_that_was_cut_is_not_granted(theirs: bytes, ours: bytes) -> None:
    restored = restore(accept_of(YES[3], sub_items=(theirs,)), scp_roles=frozenset({MR_IMAGE_STORAGE}))
    assert restored == accept_of(YES[3], sub_items=(ours,))


@pytest.mark.parametrize("kept", [1, 3, 129, 255])
def test_127_contexts_of_128_are_cut_and_return(kept: int) -> None:
    ids = range(1, 256, 2)
    original = encode_associate_rq("PACS", "CT1", [(i, f"1.2.{i}", [f"1.3.{i}", IMPLICIT_LE]) for i in ids])
    request = parse_associate_rq(original)
    edited = edit(original, keep_contexts=frozenset({kept}), transfer_syntaxes=frozenset({IMPLICIT_LE}))
    assert edited == encode_associate_rq("PACS", "CT1", [(kept, f"1.2.{kept}", [IMPLICIT_LE])])
    accept = encode_associate_ac("PACS", "CT1", [(kept, 0, IMPLICIT_LE)])
    restored = restore_associate_ac(
        accept,
        parse_associate_ac(accept),
        request,
        original,
        refused=frozenset(ids) - {kept},
        transfer_syntaxes=frozenset({IMPLICIT_LE}),
    )
    assert restored == encode_associate_ac(
        "PACS", "CT1", [(i, 0, IMPLICIT_LE) if i == kept else (i, 1, f"1.3.{i}") for i in ids]
    )


@pytest.mark.parametrize("size", [65_500, 65_529, 65_530, 70_000])
def test_a_response_that_does_not_fit(size: int) -> None:
    with pytest.raises(InvalidPduParameter):
        restore(accept_of(YES[1]), identity_response=bytes(size))


NAMED = encode_item(0x55, b"NAMED")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((CT_ROLE, NAMED, MR_EXTENDED), (CT_ROLE, encode_item(0x55, b"OTHER_NAME"), MR_EXTENDED)),
        ((MR_EXTENDED, NAMED, CT_ROLE), (MR_EXTENDED, encode_item(0x55, b"OTHER_NAME"), CT_ROLE)),
        ((CT_ROLE, MR_EXTENDED), (CT_ROLE, encode_item(0x55, b"OTHER_NAME"), MR_EXTENDED)),
        ((CT_ROLE,), (CT_ROLE, encode_item(0x55, b"OTHER_NAME"))),
        ((), (encode_item(0x55, b"OTHER_NAME"),)),
    ],
)
@pytest.mark.parametrize("behind", [(), (UNKNOWN,)])
def test_another_implementation_version_name(
    before: tuple[bytes, ...], after: tuple[bytes, ...], behind: tuple[bytes, ...]
) -> None:
    """Replaced where it stands, or put where it belongs; nothing else changes."""
    pdu, expected = (
        associate_rq(APPLICATION, context(1, VERIFICATION), user_information(*items), *behind)
        for items in (before, after)
    )
    renamed = rename_implementation(pdu, parse_associate_rq(pdu), "OTHER_NAME")
    assert renamed == expected
    assert parse_associate_rq(renamed).user_information.implementation_version_name == "OTHER_NAME"


def test_another_implementation_version_name_needs_room() -> None:
    unknown = encode_item(0xEE, bytes(0xFFFF - len(user_information())))  # all of it but for the header of an item
    pdu = associate_rq(APPLICATION, context(1, VERIFICATION), user_information(unknown))
    with pytest.raises(InvalidPduParameter):
        rename_implementation(pdu, parse_associate_rq(pdu), "A")
