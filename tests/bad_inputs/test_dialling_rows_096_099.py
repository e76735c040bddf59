"""Rows 96 to 99: a PACS that cannot be reached, or that answers nothing."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proxy.pdu.encode import encode_abort
from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import PROMPT, Case
from tests.bad_inputs.faulty_listeners import FullBacklog
from tests.bad_inputs.hostile import TlsPeer
from tests.support import pdus
from tests.support.ports import free_port

CONNECT, ACCEPT = 2.0, 1.5  # seconds: upstream_connect of every bed, and upstream_accept of this one


@pytest.fixture(scope="module")
def black_hole() -> Iterator[FullBacklog]:
    with contextlib.closing(FullBacklog()) as full:
        yield full


@pytest.fixture(scope="module")
def queue_that_moves() -> Iterator[FullBacklog]:
    with contextlib.closing(FullBacklog()) as full:
        yield full


@pytest.fixture(scope="module")
def bed(start_bed: Callable[..., Bed], black_hole: FullBacklog, queue_that_moves: FullBacklog) -> Bed:
    routes: dict[str, Any] = {"NOBODY": free_port(), "BLACKHOLE": black_hole.port, "QUEUE": queue_that_moves.port}
    routes["NOWHERE"] = "255.255.255.255:104"
    routes["TWODEAD"] = {"servers": [{"address": f"127.0.0.1:{free_port()}"} for _ in range(2)]}
    return start_bed(routes=routes, timeouts={"upstream_accept": f"{ACCEPT * 1000:.0f}ms"})


def calling(case: Case, called: str, calling: str = "CT1") -> TlsPeer:
    """A requestor that has just asked for this called AE title."""
    peer = case.secured()
    peer.send(pdus.associate_rq(called=called.encode().ljust(16), calling=calling.encode().ljust(16)))
    return peer


def attempts(case: Case, upstream: str, result: str) -> float:
    return case.gateway.metric("upstream_connect_attempts_total", upstream=upstream, result=result)


def test_row_096_connection_refused(case: Case) -> None:
    before = attempts(case, "nobody", "refused")
    for _ in range(20):
        peer = calling(case, "NOBODY")
        with case.promptly():
            assert peer.rejected() == "2/3/1" and peer.close_notify
        case.refused(peer, "upstream_unavailable")
        assert "Connection refused" in case.record(peer)["detail"]
    assert attempts(case, "nobody", "refused") == before + 20
    assert case.gateway.metric("upstream_up", upstream="nobody") == 0
    assert case.gateway.metric("upstream_up", upstream="pacs") == 1


def test_row_096_the_breaker_of_a_pool(case: Case) -> None:
    """Each server is dialled, then left alone for a second: meanwhile the answer is the same, without a dial."""
    began = time.monotonic()
    told = []
    for _ in range(20):
        peer = calling(case, "TWODEAD")
        with case.promptly():
            assert peer.rejected() == "2/3/1"
        case.refused(peer, "upstream_unavailable")
        told.append(case.record(peer)["detail"])
    assert "Connection refused" in told[0]
    assert any("every server has failed; the next one is tried in" in detail for detail in told[1:])
    assert attempts(case, "twodead", "refused") <= 2 * (1 + time.monotonic() - began)
    assert case.gateway.metric("upstream_up", upstream="twodead") == 0


def test_row_096_no_such_address(case: Case) -> None:
    """The system call fails before a packet is sent."""
    peer = calling(case, "NOWHERE")
    with case.promptly():
        assert peer.rejected() == "2/3/1"
    case.refused(peer, "upstream_unavailable")
    assert attempts(case, "nowhere", "error") == 1


def test_row_097_black_hole(case: Case) -> None:
    """All wait side by side, each for its own `upstream_connect`."""
    before = attempts(case, "blackhole", "timeout")
    asked, watch = time.monotonic(), case.stopwatch()
    peers = [calling(case, "BLACKHOLE") for _ in range(20)]
    case.check_the_healthy_client()
    for peer in peers:
        assert peer.rejected() == "2/3/1"
        assert time.monotonic() - asked > CONNECT * 0.9 and watch.seconds() < CONNECT + PROMPT
        case.refused(peer, "upstream_unavailable")
        assert "no connection in 2 s" in case.record(peer)["detail"]
    assert attempts(case, "blackhole", "timeout") == before + 20


def test_row_098_no_answer(case: Case) -> None:
    peer = calling(case, "PACS", "HANDOVER98")
    asked, watch = time.monotonic(), case.stopwatch()
    side = case.pacs.side("HANDOVER98")
    assert peer.rejected() == "2/3/1"
    assert time.monotonic() - asked > ACCEPT * 0.9 and watch.seconds() < ACCEPT + PROMPT
    assert side.read_to_end() == encode_abort(2, 0) and side.end == "fin"
    case.refused(peer, "upstream_timeout", dialled=1)


def test_row_098_an_answer_that_trickles(case: Case) -> None:
    """Bytes do not move the deadline; the answer that is cut off is not passed on in part."""
    peer = calling(case, "PACS", "HANDOVER98")
    watch = case.stopwatch()
    side = case.pacs.side("HANDOVER98")
    for byte in side.answer()[:40]:
        side.send(bytes((byte,)))
        time.sleep(ACCEPT / 30)
    assert peer.rejected() == "2/3/1"
    took = watch.seconds()
    record = case.record(peer)
    assert record["duration_s"] > ACCEPT * 0.9 and took < ACCEPT + PROMPT
    assert side.read_to_end() == encode_abort(2, 0)
    case.refused(peer, "upstream_timeout", dialled=1)


def test_row_098_an_answer_that_comes_too_late(case: Case) -> None:
    """An answer that crosses the A-ABORT: it reaches no requestor, and all is released."""
    peer = calling(case, "PACS", "HANDOVER98")
    side = case.pacs.side("HANDOVER98")
    assert peer.rejected() == "2/3/1"
    side.accept()
    assert side.read_to_end() == encode_abort(2, 0)
    case.refused(peer, "upstream_timeout", dialled=1)


def test_row_099_a_slow_answer(case: Case) -> None:
    """Just inside `upstream_accept`."""
    peer = calling(case, "PACS", "HANDOVER99")
    side = case.pacs.side("HANDOVER99")
    time.sleep(ACCEPT * 0.7)
    side.accept()
    assert peer.accepted() == side.answer()
    peer.send(encode_abort(0, 0))
    assert peer.rest() == b"" and peer.end == "fin"
    assert side.read_to_end() == encode_abort(0, 0)
    case.passed(peer, "aborted_by_requestor")


def test_row_099_a_full_queue_that_moves(case: Case, queue_that_moves: FullBacklog) -> None:
    """The first SYN is dropped, the kernel's next one gets in, within `upstream_connect`."""
    watch = case.stopwatch()
    peer = calling(case, "QUEUE")
    time.sleep(CONNECT / 4)
    queue_that_moves.open()
    side = queue_that_moves.visitor(CONNECT)
    side.accept()
    assert peer.accepted() == side.answer()
    assert time.monotonic() - peer.opened > 0.9 and watch.seconds() < CONNECT
    peer.send(encode_abort(0, 0))
    assert peer.rest() == b"" and peer.end == "fin"
    assert side.read_to_end() == encode_abort(0, 0)
    case.passed(peer, "aborted_by_requestor", dialled=0)
