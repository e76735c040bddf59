"""Rows 83 and 95: guessing titles teaches nothing, neither by the answer nor by the time that it takes."""

import statistics
import time
from collections.abc import Callable

import pytest

from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import Case
from tests.support import pdus

GUESSES = 1000
WITHIN = 0.005  # seconds (row 11 allows as much)
WARD = "ward.example.org"
PEERS = [
    {"aet": "FAR_AWAY", "from": ["192.0.2.1"], "allow": ["all"]},
    {"aet": "BOUND", "cert": {"subject_cn": ["BOUND"]}, "allow": ["all"]},
    {"aet": "FORBIDDEN", "action": "refuse", "allow": ["all"]},
    {"aet": "ECHO_ONLY", "allow": ["worklist"]},
]
REJECTED = bytes((3, 0, 0, 0, 0, 4, 0, 1, 1, 7))


@pytest.fixture(scope="module")
def bed(start_bed: Callable[..., Bed]) -> Bed:
    return start_bed(peers=PEERS, uniform_rejects=True)


def test_row_083_a_thousand_called_titles(case: Case) -> None:
    """Each guess gets the same answer in the same time, all are counted, and the log holds a few of them."""
    address = case.bed.address()
    refusals = case.gateway.metric("association_refusals_total", reason="called_aet_unknown")
    took: dict[bool, list[float]] = {True: [], False: []}
    for number in range(GUESSES):
        near = bool(number % 2)  # PACS is a called AE title of the only tenant
        called = (f"PACS{number}" if near else f"{number:016d}").encode().ljust(16)
        peer = case.peer("plain", address)
        started = time.perf_counter()
        peer.send(pdus.associate_rq(called=called))
        assert peer.pdu() == REJECTED
        took[near].append(time.perf_counter() - started)
        assert peer.rest() == b"" and peer.end == "fin"
        peer.close()
    assert abs(statistics.median(took[True]) - statistics.median(took[False])) < WITHIN
    case.flooded(address, {"called_aet_unknown"}, 30)
    told = case.gateway.metric("association_refusals_total", reason="called_aet_unknown")
    assert told == refusals + GUESSES
    suppressed = case.gateway.wait_for_event("refusals_suppressed", 90, since=case.mark)
    assert (suppressed["address"], suppressed["reason"]) == (address, "called_aet_unknown")


def test_row_095_unknown_and_forbidden_read_the_same(case: Case) -> None:
    """With uniform_rejects: RJ 1/1/1 after the same time for all reasons; the record holds the reason."""
    case.rss_slack = 4 << 20  # fifty handshakes by a context that was not used before
    reasons = {
        "NOBODY": "calling_aet_unknown",
        "FAR_AWAY": "source_not_allowed",
        "BOUND": "certificate_required",
        "FORBIDDEN": "peer_refused",
        "ECHO_ONLY": "no_permitted_context",
    }
    took: dict[str, list[float]] = {title: [] for title in reasons}
    for _ in range(10):
        for title, reason in reasons.items():
            peer = case.secured(server_name=WARD)
            started = time.perf_counter()
            peer.send(pdus.associate_rq(calling=title.encode().ljust(16), called=b"WARD".ljust(16)))
            assert peer.rejected() == "1/1/1"
            took[title].append(time.perf_counter() - started)
            case.refused(peer, reason)
    medians = {title: statistics.median(seconds) for title, seconds in took.items()}
    assert max(medians.values()) - min(medians.values()) < WITHIN, medians
