"""Rows 29 and 30: handshakes that stall."""

import contextlib
import resource
import time
from collections.abc import Callable, Iterator

import pytest

from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import GIVEN_BACK, Case
from tests.bad_inputs.configuration import HASTY, LATE, STAGE
from tests.bad_inputs.hellos import offer_12
from tests.bad_inputs.hostile import Peer
from tests.support import client_hellos
from tests.support.processes import until

HELLO = client_hellos.records(offer_12())
PER_ADDRESS = 32  # limits.handshakes_per_address
ONE_ADDRESS, MANY_ADDRESSES = 1000, 2000


@pytest.fixture(scope="module")
def bed(start_bed: Callable[..., Bed]) -> Bed:
    return start_bed(timeouts=HASTY)


def test_row_029_stall_after_some_bytes(case: Case) -> None:
    """There is one deadline from the accept to the whole ClientHello."""
    peers = []
    for count in (0, 1, 5, 100):
        peer = case.peer("tls")
        peer.send(HELLO[:count])
        peers.append(peer)
    for peer in peers:
        assert STAGE * 0.9 < peer.closed() < LATE
        case.refused(peer, "client_hello_timeout")


def test_row_029_stall_after_the_server_hello(case: Case) -> None:
    peer = case.peer("tls")
    peer.send(HELLO)
    assert peer.rest(LATE)[:1] == b"\x16" and peer.end == "fin"
    assert STAGE * 0.9 < time.monotonic() - peer.opened < LATE
    case.refused(peer, "tls_timeout")


@pytest.mark.parametrize("after", [0, len(HELLO)])
def test_row_029_slow_bytes_do_not_extend_the_deadline(case: Case, after: int) -> None:
    """After 0: the ClientHello trickles. After the whole of it: the client's next flight does."""
    peer = case.peer("tls")
    trickle = HELLO if not after else b"\x16\x03\x03\0\xff" + bytes(250)
    peer.send(HELLO[:after])
    for byte in trickle:
        peer.send(bytes((byte,)))
        with contextlib.suppress(AssertionError):  # nothing came, which is what a slow client sees
            while peer.receive(STAGE / 20):
                pass
        if peer.end is not None:
            break
    assert peer.end == "fin" and STAGE * 0.9 < time.monotonic() - peer.opened < LATE
    case.refused(peer, "tls_timeout" if after else "client_hello_timeout")


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4 * MANY_ADDRESSES:
        pytest.skip(f"the descriptor limit of {hard} has no room for {MANY_ADDRESSES} connections on both sides")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_row_030_many_stalls_from_one_address(bed: Bed, case: Case, many_descriptors: None) -> None:
    """The cap per address answers at once; others do not notice; the log is not flooded."""
    address = bed.address()
    peers = [case.peer("tls", address) for _ in range(ONE_ADDRESS)]
    case.check_the_healthy_client()
    for peer in peers[PER_ADDRESS:]:
        peer.rest()
    assert {peer.end for peer in peers[PER_ADDRESS:]} <= {"fin", "reset"}
    assert time.monotonic() - peers[-1].opened < LATE
    for peer in peers[:PER_ADDRESS]:
        peer.rest()
    case.flooded(address, {"address_limit", "client_hello_timeout"}, at_most=20)
    assert case.gateway.metric("connections_rejected_total", reason="address_limit") >= ONE_ADDRESS - 2 * PER_ADDRESS


def test_row_030_many_stalls_from_many_addresses(bed: Bed, case: Case, many_descriptors: None) -> None:
    case.rss_slack = 24 << 20  # what 2,000 connections needed at once is not all given back to the kernel
    peers: list[Peer] = []
    for number in range(MANY_ADDRESSES):
        peer = case.peer("tls")
        peer.send(HELLO[: number % len(HELLO)])
        peers.append(peer)
    case.check_the_healthy_client()
    for peer in peers:
        assert peer.rest() == b"" and peer.end == "fin"
        case.refused(peer, "client_hello_timeout")
    until(lambda: bed.gateway.metric("connections_active") == 1, "all are closed", GIVEN_BACK)
