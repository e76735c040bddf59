"""Rows 81, 82, 89 and 90: peers by AE title and address, limits by peer, and the order of entries."""

import json
from collections.abc import Callable

import pytest

from proxy.cli.__main__ import main
from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import Case
from tests.support import pdus

WARD = "ward.example.org"
AT_A, AT_B = "127.201.0.1", "127.201.0.2"
ALL = {"allow": ["all"]}
PEERS = [
    {"aet": "CT_A", "from": [AT_A], **ALL},
    {"aet": "CT_B", "from": [AT_B], **ALL},
    {"aet": "ONE", "max_associations": 1, **ALL},
    {"name": "wide", "aet": "ORDER", "from": ["127.202.0.0/16"], **ALL},
    {"name": "narrow", "aet": "ORDER", "from": ["127.202.1.0/24"], "action": "refuse", **ALL},
    {"name": "no first", "aet": "NO1", "from": ["127.203.0.0/16"], "action": "refuse", **ALL},
    {"name": "too late", "aet": "NO1", **ALL},
    {"name": "pattern", "aet": "LITERAL*", "action": "refuse", **ALL},
    {"name": "literal", "aet": "LITERAL1", **ALL},
    {"aet": "BOTH", "from": [AT_B], **ALL},  # of the tenant `open` too, from anywhere
]


@pytest.fixture(scope="module")
def bed(start_bed: Callable[..., Bed]) -> Bed:
    return start_bed(peers=PEERS)


def request(calling: str) -> bytes:
    return pdus.associate_rq(calling=calling.encode().ljust(16), called=b"WARD".ljust(16))


def is_refused(case: Case, calling: str, address: str | None, answer: str, reason: str) -> None:
    peer = case.secured(server_name=WARD, address=address)
    peer.send(request(calling))
    assert peer.rejected() == answer
    case.refused(peer, reason)


def passes(case: Case, calling: str, address: str | None = None) -> str:
    """Serve an association to its end; return the name of the entry that admitted it."""
    peer = case.associated(request=request(calling), server_name=WARD, address=address)
    case.released(peer)
    return str(case.record(peer)["peer"])


@pytest.mark.parametrize("address", [None, "127.201.0.3", "127.200.0.2"])
def test_row_081_listed_title_from_an_unlisted_address(case: Case, address: str | None) -> None:
    is_refused(case, "CT_A", address, "1/1/3", "source_not_allowed")


@pytest.mark.parametrize(
    ("calling", "address", "reason"),
    [
        ("CT_C", AT_A, "calling_aet_unknown"),
        ("CT_", AT_A, "calling_aet_unknown"),
        ("ct_a", AT_A, "calling_aet_unknown"),
        ("CT_A", AT_B, "source_not_allowed"),
        ("CT_B", AT_A, "source_not_allowed"),
    ],
)
def test_row_082_not_as_a_pair(case: Case, calling: str, address: str, reason: str) -> None:
    is_refused(case, calling, address, "1/1/3", reason)


@pytest.mark.parametrize(("calling", "address"), [("CT_A", AT_A), ("CT_B", AT_B)])
def test_row_082_as_a_pair(case: Case, calling: str, address: str) -> None:
    assert passes(case, calling, address) == calling


def test_row_089_the_same_title_twice_at_once(case: Case) -> None:
    """The second association gets RJ 2/3/2, from any address; after the end of the first it is accepted."""
    first = case.associated(request=request("ONE"), server_name=WARD)
    for _ in range(2):
        is_refused(case, "ONE", None, "2/3/2", "association_limit")
    case.released(first)
    case.record(first)
    assert passes(case, "ONE") == "ONE"


@pytest.mark.parametrize(
    ("calling", "address", "expected"),
    [
        ("ORDER", "127.202.1.5", "wide"),  # the first entry that matches, not the narrowest
        ("ORDER", "127.202.2.5", "wide"),
        ("NO1", "127.203.0.5", "peer_refused"),
        ("NO1", "127.204.0.5", "too late"),
        ("LITERAL1", "127.204.0.6", "literal"),  # a title that is named is never matched by a pattern
        ("LITERAL2", "127.204.0.7", "peer_refused"),
        ("BOTH", "127.204.0.8", "source_not_allowed"),  # the tenant is chosen before the peer
        ("BOTH", AT_B, "BOTH"),
    ],
)
def test_row_090_order_of_entries(
    case: Case, calling: str, address: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first entry that matches decides, and `explain` says the same."""
    if expected in ("peer_refused", "source_not_allowed"):
        is_refused(case, calling, address, "1/1/3", expected)
    else:
        assert passes(case, calling, address) == expected
    asked = ["--listener", "tls", "--from", address, "--sni", WARD, "--calling", calling, "--called", "WARD"]
    code = main(["explain", *asked, "--config", str(case.gateway.path), "--format", "json"])
    told = json.loads(capsys.readouterr().out)
    if code:
        assert (code, told["reason"]) == (1, expected)
    else:
        assert told["peer"] == expected
