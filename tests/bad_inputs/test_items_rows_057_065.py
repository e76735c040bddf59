"""Rows 57 to 65: items of the A-ASSOCIATE-RQ (PS3.8 Tables 9-12 to 9-16)."""

import struct

import pytest

from proxy.pdu.encode import encode_item
from tests.bad_inputs.case import Case
from tests.support import pdus
from tests.support.pdus import APPLICATION, CLASS_UID, MAXIMUM_LENGTH, context, uid_item, user_information

USER = user_information()
LONGEST_UID = "1.2." + "3" * 60
DICOM = "1.2.840.10008.3.1.1.1"


def check(case: Case, expected: str, *items: bytes) -> None:
    """Send a request of these items. `expected`: PASS (byte for byte), or the answer and the reason."""
    request = pdus.associate_rq(*items, calling=b"ITEMS".ljust(16))
    check_request(case, expected, request)


def check_request(case: Case, expected: str, request: bytes) -> None:
    peer = case.secured()
    peer.send(request)
    if expected == "PASS":
        peer.accepted()
        assert case.pacs.side("ITEMS").request == request
        case.released(peer)
        return
    answer, reason = expected.split()
    if answer == "AB":
        assert peer.aborted() in ("0/0", "2/5", "2/6")
    else:
        assert peer.rejected() == answer
    case.refused(peer, reason)


INVALID = "AB pdu_invalid"
AMBIGUOUS = "1/1/1 request_ambiguous"
WRONG_CONTEXT = "1/1/2 application_context"


@pytest.mark.parametrize(
    ("expected", "items"),
    [
        (INVALID, ()),
        (AMBIGUOUS, (APPLICATION, APPLICATION)),
        (AMBIGUOUS, (APPLICATION, uid_item(0x10, "1.2.3"))),
        (WRONG_CONTEXT, (uid_item(0x10, "1.2.840.10008.3.1.1.2"),)),
        (WRONG_CONTEXT, (uid_item(0x10, "1"),)),
        (WRONG_CONTEXT, (uid_item(0x10, LONGEST_UID),)),
        (INVALID, (uid_item(0x10, ""),)),
        (INVALID, (uid_item(0x10, LONGEST_UID + "4"),)),
        (INVALID, (uid_item(0x10, "1" * 65_535),)),
        ("PASS", (uid_item(0x10, DICOM + "\0"),)),
        (INVALID, (uid_item(0x10, DICOM + "\0\0"),)),
        (INVALID, (uid_item(0x10, DICOM + "\0evil"),)),
    ],
)
def test_row_057_application_context(case: Case, expected: str, items: tuple[bytes, ...]) -> None:
    check(case, expected, *items, context(1), USER)


def test_row_058_no_presentation_context(case: Case) -> None:
    check(case, "1/1/1 no_permitted_context", APPLICATION, USER)


@pytest.mark.parametrize(("count", "expected"), [(1, "PASS"), (128, "PASS")])
def test_row_059_as_many_contexts_as_there_are_ids(case: Case, count: int, expected: str) -> None:
    check(case, expected, APPLICATION, *(context(2 * index + 1) for index in range(count)), USER)


@pytest.mark.parametrize("count", [129, 2000])
def test_row_059_more_contexts_than_there_are_ids(case: Case, count: int) -> None:
    contexts = (context((2 * index + 1) % 256) for index in range(count))
    check(case, "1/1/1 too_many_contexts", APPLICATION, *contexts, USER)


@pytest.mark.parametrize(
    ("expected", "ids"),
    [
        (AMBIGUOUS, (2,)),
        (AMBIGUOUS, (0,)),
        (AMBIGUOUS, (254,)),
        (AMBIGUOUS, (1, 1)),
        (AMBIGUOUS, (1, 3, 5, 3)),
        ("PASS", (5, 255, 1, 77)),
    ],
)
def test_row_060_context_ids(case: Case, expected: str, ids: tuple[int, ...]) -> None:
    check(case, expected, APPLICATION, *map(context, ids), USER)


def raw_context(*sub_items: bytes) -> bytes:
    return encode_item(0x20, b"\x01\0\0\0" + b"".join(sub_items))


ABSTRACT, TRANSFER = uid_item(0x30, pdus.VERIFICATION), uid_item(0x40, pdus.IMPLICIT_LE)


@pytest.mark.parametrize(
    ("expected", "item"),
    [
        (INVALID, raw_context(TRANSFER)),
        (INVALID, raw_context(ABSTRACT, ABSTRACT, TRANSFER)),
        (INVALID, raw_context(ABSTRACT, uid_item(0x30, pdus.CT_IMAGE_STORAGE), TRANSFER)),
        (INVALID, raw_context(ABSTRACT)),
        (INVALID, raw_context()),
        (INVALID, encode_item(0x20, b"\x01\0\0")),
        (INVALID, encode_item(0x20, b"")),
        ("PASS", raw_context(ABSTRACT, *(uid_item(0x40, f"1.2.3.{index}") for index in range(200)))),
        ("PASS", raw_context(ABSTRACT, TRANSFER, TRANSFER, TRANSFER)),
    ],
)
def test_row_061_syntaxes_of_a_context(case: Case, expected: str, item: bytes) -> None:
    check(case, expected, APPLICATION, item, USER)


@pytest.mark.parametrize("item_type", [0x30, 0x40])
@pytest.mark.parametrize(
    ("expected", "uid"),
    [
        (INVALID, b""),
        ("PASS", LONGEST_UID.encode()),
        (INVALID, LONGEST_UID.encode() + b"4"),
        ("PASS", b"1.2.840.10008.1.1\0"),
        ("PASS", b"1.2.840.10008.1.1 "),
        (INVALID, b"1.2.840.10008.1.1\0\0"),
        (INVALID, b"1.2.84O.10008.1.1"),
        (INVALID, b"1.2..3"),
        (INVALID, b".1.2"),
        (INVALID, b"1.2."),
        (INVALID, b"1.2\0.3"),
        (INVALID, b"\xd9\xa1.2"),
    ],
)
def test_row_062_uids(case: Case, expected: str, uid: bytes, item_type: int) -> None:
    sub_items = {0x30: ABSTRACT, 0x40: TRANSFER} | {item_type: uid_item(item_type, uid)}
    check(case, expected, APPLICATION, raw_context(*sub_items.values()), USER)


def longer(item: bytes, by: int) -> bytes:
    """The item with a length that is greater than its content."""
    return item[:2] + struct.pack(">H", len(item) - 4 + by) + item[4:]


def declared(item: bytes, length: int) -> bytes:
    return item[:2] + struct.pack(">H", length) + item[4:]


@pytest.mark.parametrize(
    "items",
    [
        (APPLICATION, context(1), longer(USER, 1)),
        (APPLICATION, context(1), declared(USER, 65_535)),
        (APPLICATION, raw_context(ABSTRACT, longer(TRANSFER, 1)), USER),
        (APPLICATION, raw_context(ABSTRACT, declared(TRANSFER, 65_535)), USER),
        (APPLICATION, raw_context(longer(ABSTRACT, 1), TRANSFER), USER),
        (APPLICATION, context(1), encode_item(0x50, MAXIMUM_LENGTH + longer(CLASS_UID, 1))),
        (APPLICATION, context(1), encode_item(0x50, MAXIMUM_LENGTH + declared(CLASS_UID, 65_535))),
        *((APPLICATION, context(1), USER, b"\x55\0\0"[:left]) for left in (1, 2, 3)),
        *((APPLICATION, raw_context(ABSTRACT, TRANSFER, b"\x40\0\0"[:left]), USER) for left in (1, 2, 3)),
        *((APPLICATION, context(1), user_information(b"\x55\0\0"[:left])) for left in (1, 2, 3)),
    ],
)
def test_row_063_item_that_does_not_fit_its_parent(case: Case, items: tuple[bytes, ...]) -> None:
    check(case, INVALID, *items)


@pytest.mark.parametrize(
    "items",
    [
        (encode_item(0x77, b"unknown"), APPLICATION, context(1), USER),
        (APPLICATION, encode_item(0x99, bytes(1000)), context(1), USER, encode_item(0xFE, b"")),
        (APPLICATION, raw_context(ABSTRACT, encode_item(0x77, b"?"), TRANSFER), USER),
        (APPLICATION, context(1), user_information(encode_item(0x60, b"\x1b[2J"), encode_item(0xFF, b"\0"))),
    ],
)
def test_row_064_unknown_items_are_forwarded(case: Case, items: tuple[bytes, ...]) -> None:
    check(case, "PASS", *items)


@pytest.mark.parametrize(
    "items",
    [
        (APPLICATION, context(1), USER, USER),
        (APPLICATION, context(1), user_information(MAXIMUM_LENGTH)),
        (APPLICATION, context(1), user_information(CLASS_UID)),
        (APPLICATION, context(1), user_information(uid_item(0x52, "1.2.3.5"))),
        (APPLICATION, context(1), user_information(encode_item(0x55, b"A"), encode_item(0x55, b"B"))),
        (APPLICATION, context(1), user_information(encode_item(0x53, b"\0\1\0\1"), encode_item(0x53, b"\0\1\0\1"))),
        (APPLICATION, context(1), user_information(pdus.identity(1, b"alice"), pdus.identity(1, b"mallory"))),
    ],
)
def test_row_065_repeated_singleton(case: Case, items: tuple[bytes, ...]) -> None:
    """Parsers differ in which of the two they take."""
    check(case, AMBIGUOUS, *items)
