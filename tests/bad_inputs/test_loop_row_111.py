"""Row 111: an upstream that is the gateway itself."""

import time
from collections.abc import Callable, Iterator

import pytest

from proxy.net.loops import MANY
from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import Case
from tests.support import pdus
from tests.support.balancers import haproxy
from tests.support.names import Names
from tests.support.ports import free_port
from tests.support.processes import until

SOON = 1.0  # seconds
ROUNDS = MANY + 1  # connections to itself until a loop is known: that many alike, and the question
LOOPBACK = "127.0.0.1"  # where the gateway's own connections come from


@pytest.fixture(scope="module")
def forwarder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The port of a load balancer, and the port of the listener that it leads to."""
    port = free_port()
    with haproxy(tmp_path_factory.mktemp("haproxy"), port) as forwarded:
        yield forwarded, port


@pytest.fixture(scope="module")
def bed(start_bed: Callable[..., Bed], tmp_path_factory: pytest.TempPathFactory, forwarder: tuple[int, int]) -> Bed:
    """By a name, because a configuration with the gateway's own address is refused; and through a load balancer."""
    names = Names(tmp_path_factory.mktemp("names"), {"gate.test": (LOOPBACK,)})
    routes = {"SELF": "gate.test:plain", "SELFTLS": "gate.test:tls", "ROUND": forwarder[0]}
    return start_bed(launcher=names.launcher(), routes=routes, ports={"plain": forwarder[1]})


def test_row_111_a_loop_in_the_configuration(start_bed: Callable[..., Bed]) -> None:
    with pytest.raises(AssertionError, match=r"(?s)ended with 2.*\.servers\.0\.address: this is the gateway itself"):
        start_bed(routes={"SELF": f"{LOOPBACK}:plain"})


@pytest.mark.parametrize("called", [b"SELF", b"SELFTLS"])
def test_row_111_a_loop_that_a_name_shows(case: Case, called: bytes) -> None:
    """Never dialled."""
    connections = case.gateway.metric("connections_total")
    peer = case.secured()
    asked = time.monotonic()
    peer.send(pdus.associate_rq(called=called.ljust(16)))
    assert peer.rejected() == "2/3/1"
    assert time.monotonic() - asked < SOON
    case.refused(peer, "upstream_loop")
    assert case.gateway.metric("connections_total") == connections + 1


def test_row_111_a_loop_through_others(case: Case) -> None:
    """The loop takes a few rounds until it is known, and none from then on; other associations are served meanwhile."""
    for rounds in (ROUNDS, 0):
        connections = case.gateway.metric("connections_total")
        peer = case.secured()
        asked = time.monotonic()
        peer.send(pdus.associate_rq(called=b"ROUND".ljust(16)))
        assert peer.rejected() == "2/3/1"
        assert time.monotonic() - asked < SOON
        case.refused(peer, "upstream_loop")
        assert case.gateway.metric("connections_total") == connections + 1 + rounds
    case.flooded(LOOPBACK, {"upstream_loop"}, at_most=ROUNDS)
    until(lambda: case.gateway.metric("connections_active") == 1, "the loop is taken down", SOON)
