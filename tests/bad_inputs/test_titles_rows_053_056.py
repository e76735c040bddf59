"""Rows 53 to 56: reserved fields and AE titles."""

import pytest

from tests.bad_inputs.case import Case
from tests.bad_inputs.configuration import SIXTEEN
from tests.support import pdus

READ_DIFFERENTLY = [
    b"ALLOWED\0EVIL\0\0\0\0",
    b"A\0B".ljust(16),
    b"TAB\tTAB".ljust(16),
    b"LINE\nFEED".ljust(16),
    b"CR\rCR".ljust(16),
    b"\x1b[31mRED\x1b[0m".ljust(16),
    b"DELETE\x7f".ljust(16),
    b"HIGH\x80\xff".ljust(16),
    "ÄÖÜ".encode().ljust(16),
    "\u202egnp.exe".encode().ljust(16),
    b"BACK\\SLASH".ljust(16),
]
LEGAL = [
    b"*",
    b"/",
    b"..",
    b"../../etc/passwd",
    b"$(reboot)",
    b"`id`",
    b"%n%s%x",
    b"{0}",
    b'"quoted"',
    b"<script>",
    b"'; --",
]


def test_row_053_reserved_fields_are_not_tested(case: Case) -> None:
    context = bytearray(pdus.context(1))
    context[1] = 0xAA
    context[5:8] = b"\xff\x7f\x01"
    user_information = bytearray(pdus.user_information())
    user_information[1] = user_information[5] = 0x55
    application = b"\x10\xee" + pdus.APPLICATION[2:]
    request = bytearray(
        pdus.associate_rq(
            application,
            bytes(context),
            bytes(user_information),
            calling=b"RESERVED".ljust(16),
            reserved=bytes(range(32)),
        )
    )
    request[1] = 0x99
    request[8:10] = b"\xff\xff"
    peer = case.associated(request=bytes(request))
    assert case.pacs.side("RESERVED").request == request
    case.released(peer)


@pytest.mark.parametrize(
    ("calling", "called", "answer", "reason"),
    [
        (b" " * 16, b"PACS".ljust(16), "1/1/3", "calling_aet_unknown"),
        (b"CT1".ljust(16), b" " * 16, "1/1/7", "called_aet_unknown"),
        (bytes(16), b"PACS".ljust(16), "1/1/3", "calling_aet_unknown"),
        (b"CT1".ljust(16), bytes(16), "1/1/7", "called_aet_unknown"),
    ],
)
def test_row_054_blank_title(case: Case, calling: bytes, called: bytes, answer: str, reason: str) -> None:
    peer = case.secured()
    peer.send(pdus.associate_rq(calling=calling, called=called))
    assert peer.rejected() == answer
    case.refused(peer, reason)


@pytest.mark.parametrize("field", ["calling", "called"])
@pytest.mark.parametrize("title", READ_DIFFERENTLY)
def test_row_055_title_that_two_parsers_read_differently(case: Case, title: bytes, field: str) -> None:
    """Invariant 9: refused, and the record (checked for every case) holds the bytes escaped."""
    peer = case.secured()
    peer.send(pdus.associate_rq(**{field: title}))
    assert peer.rejected() == "1/1/1"
    case.refused(peer, "request_ambiguous")


@pytest.mark.parametrize("field", ["calling", "called"])
def test_row_055_title_padded_with_nuls(case: Case, field: str) -> None:
    """`accept_nul_padding` is off."""
    peer = case.secured()
    peer.send(pdus.associate_rq(**{field: {"calling": b"CT1", "called": b"PACS"}[field].ljust(16, b"\0")}))
    assert peer.rejected() == "1/1/1"
    case.refused(peer, "request_ambiguous")


def test_row_055_title_with_leading_spaces_is_forwarded_in_canonical_form(case: Case) -> None:
    sent = pdus.associate_rq(calling=b"  LEADING".ljust(16), called=b" PACS".ljust(16))
    peer = case.associated(request=sent)
    forwarded = case.pacs.side("LEADING").request
    assert forwarded == pdus.associate_rq(calling=b"LEADING".ljust(16))
    case.released(peer)
    assert case.record(peer)["calling_aet"] == "LEADING"


@pytest.mark.parametrize("title", LEGAL)
def test_row_055_legal_title_is_text_and_nothing_else(case: Case, title: bytes) -> None:
    """No shell, no format string, no pattern: the title is forwarded and recorded as it is."""
    request = pdus.associate_rq(calling=title.ljust(16))
    peer = case.associated(request=request)
    assert case.pacs.side(title.decode()).request == request
    case.released(peer)
    assert case.record(peer)["calling_aet"] == title.decode()


@pytest.mark.parametrize("called", [SIXTEEN.encode(), b"MixedCase".ljust(16), b"PACS".ljust(15) + b" "])
def test_row_056_called_title_exactly_as_configured(case: Case, called: bytes) -> None:
    peer = case.associated(request=pdus.associate_rq(called=called))
    case.released(peer)


@pytest.mark.parametrize(
    "called", [SIXTEEN[:15].encode() + b" ", SIXTEEN.lower().encode(), b"MIXEDCASE", b"pacs", b"PAC", b"PACSS"]
)
def test_row_056_called_title_that_is_nearly_one(case: Case, called: bytes) -> None:
    peer = case.secured()
    peer.send(pdus.associate_rq(called=called.ljust(16)))
    assert peer.rejected() == "1/1/7"
    case.refused(peer, "called_aet_unknown")


def test_row_056_title_of_17_characters_shifts_all_that_follows(case: Case) -> None:
    peer = case.secured()
    peer.send(pdus.associate_rq(called=SIXTEEN.encode() + b"X"))
    assert peer.aborted() in ("0/0", "2/6")
    case.refused(peer, "pdu_invalid")
