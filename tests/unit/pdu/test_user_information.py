"""Rows 65 to 68 of docs/robustness.md."""

import pytest

from proxy.pdu import (
    AAssociateRQ,
    AsynchronousOperationsWindow,
    InvalidPduParameter,
    RequestAmbiguous,
    parse_associate_ac,
    parse_associate_rq,
)
from proxy.pdu.encode import encode_item
from tests.support.pdus import (
    APPLICATION,
    CT_IMAGE_STORAGE,
    MR_IMAGE_STORAGE,
    associate_rq,
    context,
    counted,
    encode_associate_ac,
    identity,
    role,
    uid_item,
    user_information,
)

SECRET = b"hunter2"


def parse(*sub_items: bytes) -> AAssociateRQ:
    return parse_associate_rq(associate_rq(APPLICATION, context(1), user_information(*sub_items)))


def parse_bare(*sub_items: bytes) -> AAssociateRQ:
    return parse_associate_rq(associate_rq(APPLICATION, context(1), encode_item(0x50, b"".join(sub_items))))


def common(sop_class: bytes, service_class: bytes, related: bytes, tail: bytes = b"") -> bytes:
    return encode_item(0x57, counted(sop_class) + counted(service_class) + counted(related) + tail)


def test_everything_at_once() -> None:
    pdu = associate_rq(
        APPLICATION,
        context(1),
        user_information(
            encode_item(0x53, b"\0\5\0\3"),
            role(CT_IMAGE_STORAGE, 0, 1),
            role(MR_IMAGE_STORAGE, 1, 0),
            encode_item(0x55, b"VERSION_1"),
            encode_item(0x56, counted(CT_IMAGE_STORAGE.encode()) + b"\2\0\3"),
            common(CT_IMAGE_STORAGE.encode(), b"1.2.840.10008.4.2", counted(b"1.2") + counted(b"1.3"), b"reserved"),
            identity(2, b"alice", SECRET, positive_response=1),
        ),
    )
    information = parse_associate_rq(pdu).user_information
    assert information.asynchronous_operations_window == AsynchronousOperationsWindow(5, 3)
    assert [(r.sop_class_uid, r.scu_role, r.scp_role) for r in information.role_selections] == [
        (CT_IMAGE_STORAGE, False, True),
        (MR_IMAGE_STORAGE, True, False),
    ]
    assert information.implementation_version_name == "VERSION_1"
    (extended,) = information.extended_negotiations
    assert extended.sop_class_uid == CT_IMAGE_STORAGE
    (common_extended,) = information.common_extended_negotiations
    assert common_extended.service_class_uid == "1.2.840.10008.4.2"
    assert common_extended.related_general_sop_class_uids == ("1.2", "1.3")
    user = information.user_identity
    assert user is not None
    assert (user.identity_type, user.positive_response_requested) == (2, True)
    assert (user.primary, user.secondary) == (b"alice", SECRET)
    for item, item_type in ((extended, 0x56), (common_extended, 0x57), (user, 0x58)):
        assert pdu[item.span.start] == item_type
    assert user.span.end == information.span.end == len(pdu)


def test_all_may_be_absent() -> None:
    information = parse_bare().user_information
    assert information.maximum_length is None
    assert information.implementation_class_uid is None
    assert information.user_identity is None


@pytest.mark.parametrize("value", [0, 1, 6, 7, 0xFFFFFFFF])
def test_any_maximum_length(value: int) -> None:
    assert parse_bare(encode_item(0x51, value.to_bytes(4, "big"))).user_information.maximum_length == value


@pytest.mark.parametrize("window", [b"\0\0\0\0", b"\xff\xff\xff\xff"])
def test_any_asynchronous_operations_window(window: bytes) -> None:
    found = parse(encode_item(0x53, window)).user_information.asynchronous_operations_window
    assert found is not None and found.maximum_invoked == int.from_bytes(window[:2], "big")


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"", ""),
        (b"SIXTEEN_LETTERS_", "SIXTEEN_LETTERS_"),
        (b"V1 \0", "V1"),
        (b"a\nb\x1b\x7f\xff\\", "a\\nb\\x1b\\x7f\\xff\\\\"),
    ],
)
def test_version_name_is_printable(raw: bytes, name: str) -> None:
    assert parse(encode_item(0x55, raw)).user_information.implementation_version_name == name


@pytest.mark.parametrize("identity_type", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [0, 60_000])
def test_user_identity(identity_type: int, size: int) -> None:
    user = parse(identity(identity_type, b"x" * size)).user_information.user_identity
    assert user is not None and (user.identity_type, len(user.primary), user.secondary) == (identity_type, size, b"")


def test_secrets_are_in_no_repr() -> None:
    request = parse(identity(2, b"alice" + SECRET, SECRET))
    assert SECRET.decode() not in repr(request)
    accept = parse_associate_ac(encode_associate_ac("PACS", "CT1", [], user_identity_response=SECRET))
    assert accept.user_information.user_identity_response == SECRET
    assert SECRET.decode() not in repr(accept)


INVALID = {
    "maximum length of 3 bytes": encode_item(0x51, bytes(3)),
    "maximum length of 5 bytes": encode_item(0x51, bytes(5)),
    "class UID of 65 bytes": uid_item(0x52, "1" * 65),
    "class UID empty": uid_item(0x52, ""),
    "window of 3 bytes": encode_item(0x53, bytes(3)),
    "window of 5 bytes": encode_item(0x53, bytes(5)),
    "version name of 17 bytes": encode_item(0x55, b"V" * 17),
    "role 2": role(CT_IMAGE_STORAGE, 2, 0),
    "role cut": encode_item(0x54, counted(b"1.2") + b"\1"),
    "role too long": encode_item(0x54, counted(b"1.2") + b"\1\1\1"),
    "role UID past the item": encode_item(0x54, b"\0\xff1.2"),
    "extended UID past the item": encode_item(0x56, b"\xff\xff1.2"),
    "extended empty": encode_item(0x56, b""),
    "common extended overrun": encode_item(0x57, counted(b"1.2") + counted(b"1.3") + b"\0\x09" + counted(b"1.4")),
    "common extended inner overrun": common(b"1.2", b"1.3", b"\0\x091.4"),
    "common extended list of 1 byte": common(b"1.2", b"1.3", b"\0"),
    "common extended cut": encode_item(0x57, counted(b"1.2") + counted(b"1.3")),
    "identity type 0": identity(0, SECRET),
    "identity type 6": identity(6, SECRET),
    "positive response 2": identity(1, SECRET, positive_response=2),
    "secondary without type 2": identity(1, b"alice", SECRET),
    "identity empty": encode_item(0x58, b""),
    "identity of 5 bytes": encode_item(0x58, b"\1\0\0\0\0"),
    "primary past the item": encode_item(0x58, b"\1\0\xff\xff" + SECRET),
    "secondary past the item": encode_item(0x58, b"\2\0" + counted(SECRET) + b"\0\xff" + SECRET),
    "identity too long": encode_item(0x58, b"\2\0" + counted(SECRET) + counted(SECRET) + SECRET),
    "item past user information": b"\xee\0\0\1",
    "3 bytes left": b"\xee\0\0",
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid(name: str) -> None:
    with pytest.raises(InvalidPduParameter) as caught:
        parse_bare(INVALID[name])
    assert SECRET.decode() not in str(caught.value)


@pytest.mark.parametrize(
    "item",
    [
        encode_item(0x51, bytes(4)),
        uid_item(0x52, "1.2"),
        encode_item(0x53, bytes(4)),
        encode_item(0x55, b"V"),
        identity(1, b"alice"),
    ],
    ids=lambda item: f"{item[0]:02X}H",
)
def test_repeated_singleton(item: bytes) -> None:
    with pytest.raises(RequestAmbiguous, match=f"second item {item[0]:02X}H"):
        parse_bare(item, item)


def test_contradicting_roles_are_ambiguous_and_equal_ones_are_not() -> None:
    assert len(parse(role("1.2", 1, 1), role("1.2", 1, 1)).user_information.role_selections) == 2
    with pytest.raises(RequestAmbiguous):
        parse(role("1.2", 1, 0), role("1.2", 0, 1))
