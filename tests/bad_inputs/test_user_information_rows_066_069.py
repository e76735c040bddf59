"""Rows 66 to 69: sub-items of the user information (PS3.8 annex D, PS3.7 annex D.3.3) and the longest request."""

import struct
import time

import pytest

from proxy.pdu import parse_associate_rq
from proxy.pdu.encode import encode_item
from tests.bad_inputs.case import Case
from tests.bad_inputs.configuration import REQUEST_CAP
from tests.bad_inputs.test_items_rows_057_065 import AMBIGUOUS, INVALID, check, check_request
from tests.support import pdus
from tests.support.pdus import APPLICATION, CLASS_UID, context, counted, identity, role, uid_item, user_information
from tests.support.stopwatch import least

SECRET = b"correct-horse-battery-staple"


def check_sub_items(case: Case, expected: str, *sub_items: bytes) -> None:
    check(case, expected, APPLICATION, context(1), user_information(*sub_items))


@pytest.mark.parametrize("maximum", [0, 1, 6, 7, 0xFFFFFFFF])
def test_row_066_maximum_length(case: Case, maximum: int) -> None:
    """The maximum length is forwarded, and nothing is allocated by it."""
    item = encode_item(0x50, encode_item(0x51, maximum.to_bytes(4, "big")) + CLASS_UID)
    grown = []
    for _ in range(3):
        before = case.bed.rss_bytes()
        check(case, "PASS", APPLICATION, context(1), item)
        grown.append(case.bed.rss_bytes() - before)
    assert min(grown) < 64 << 10, grown


@pytest.mark.parametrize(
    ("expected", "item"),
    [
        *(("PASS", identity(kind, SECRET)) for kind in (1, 3, 4, 5)),
        ("PASS", identity(2, b"alice", SECRET)),
        ("PASS", identity(2, b"alice", SECRET, positive_response=1)),
        ("PASS", identity(1, b"")),
        ("PASS", identity(5, SECRET * 2000)),
        (INVALID, identity(0, SECRET)),
        (INVALID, identity(6, SECRET)),
        (INVALID, identity(1, b"alice", SECRET)),
        (INVALID, identity(2, b"alice", SECRET, positive_response=2)),
        (INVALID, encode_item(0x58, b"\x02\0" + struct.pack(">H", 65_535) + SECRET)),
        (INVALID, encode_item(0x58, b"\x02\0" + counted(SECRET) + struct.pack(">H", 1000) + SECRET)),
        (INVALID, encode_item(0x58, b"\x02\0" + counted(b"alice") + counted(SECRET) + b"!")),
        (INVALID, encode_item(0x58, b"\x02\0" + counted(SECRET))),
        (INVALID, encode_item(0x58, b"\x02")),
        (INVALID, encode_item(0x58, b"")),
        (AMBIGUOUS, identity(2, b"alice", SECRET) + identity(2, b"alice", SECRET)),
    ],
)
def test_row_067_user_identity(case: Case, expected: str, item: bytes) -> None:
    """By default a well-formed user identity is passed on unchanged; passcodes and tokens are never logged."""
    check_sub_items(case, expected, item)
    said = case.gateway.child.text + case.gateway.get("/metrics")[1]
    assert SECRET.decode() not in said and SECRET.hex() not in said


CT = pdus.CT_IMAGE_STORAGE


@pytest.mark.parametrize(
    ("expected", "item"),
    [
        ("PASS", role(CT, 1, 0)),
        ("PASS", role(CT, 0, 1) + role(pdus.MR_IMAGE_STORAGE, 1, 1)),
        (AMBIGUOUS, role(CT, 1, 0) + role(CT, 0, 1)),
        (INVALID, role(CT, 2, 0)),
        (INVALID, encode_item(0x54, counted(CT.encode()) + b"\1")),
        (INVALID, encode_item(0x54, struct.pack(">H", 65_535) + CT.encode() + b"\1\1")),
        ("PASS", encode_item(0x53, b"\0\0\0\0")),
        ("PASS", encode_item(0x53, b"\xff\xff\xff\xff")),
        (INVALID, encode_item(0x53, b"\0\1\0")),
        (INVALID, encode_item(0x53, b"\0\1\0\1\0")),
        ("PASS", encode_item(0x56, counted(CT.encode()) + bytes(60_000))),
        (INVALID, encode_item(0x56, struct.pack(">H", 60_001) + CT.encode())),
        (
            "PASS",
            encode_item(0x57, counted(CT.encode()) + counted(b"1.2.3") + counted(counted(b"1.2") + counted(b"1.4"))),
        ),
        (INVALID, encode_item(0x57, counted(CT.encode()) + counted(b"1.2.3") + counted(struct.pack(">H", 9) + b"1.2"))),
        (INVALID, encode_item(0x57, counted(CT.encode()) + counted(b"1.2.3") + struct.pack(">H", 500) + b"1.2")),
        (INVALID, encode_item(0x57, counted(CT.encode()) + struct.pack(">H", 500) + b"1.2")),
    ],
)
def test_row_068_roles_window_and_extended_negotiation(case: Case, expected: str, item: bytes) -> None:
    check_sub_items(case, expected, item)


def longest_request() -> bytes:
    """A valid request of exactly the cap: some 12,000 transfer syntaxes, and the rest in an unknown item."""
    syntaxes = b"".join(uid_item(0x40, f"1.2.840.{number:05}") for number in range(3000))
    contexts = [encode_item(0x20, bytes((2 * n + 1, 0, 0, 0)) + uid_item(0x30, CT) + syntaxes) for n in range(4)]
    short = pdus.associate_rq(APPLICATION, *contexts, user_information(), calling=b"ITEMS".ljust(16))
    filler = encode_item(0x99, bytes(min(65_535, REQUEST_CAP - len(short) - 4)))
    while len(short) + len(filler) < REQUEST_CAP:
        filler += encode_item(0x98, bytes(min(65_535, REQUEST_CAP - len(short) - len(filler) - 4)))
    return pdus.associate_rq(APPLICATION, *contexts, filler, user_information(), calling=b"ITEMS".ljust(16))


def test_row_069_request_of_exactly_the_cap(case: Case) -> None:
    request = longest_request()
    assert len(request) == REQUEST_CAP
    check_request(case, "PASS", request)


def test_row_069_time_to_parse_the_longest_request() -> None:
    request = longest_request()

    def cost() -> float:
        started = time.process_time()
        parse_associate_rq(request)
        return time.process_time() - started

    assert least(cost, 0.050) < 0.050
