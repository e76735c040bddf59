"""Row 111: an upstream that is the gateway itself."""

import time
from collections.abc import Callable

import pytest

from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import Case
from tests.bad_inputs.names import Names
from tests.support import pdus
from tests.support.processes import until

SOON = 1.0  # seconds
HOPS = 32  # limits.handshakes_per_address: what ends a loop as long as none is recognised
LOOPBACK = "127.0.0.1"  # the gateway's own address, when it dials itself


@pytest.fixture(scope="module")
def bed(start_bed: Callable[..., Bed], tmp_path_factory: pytest.TempPathFactory) -> Bed:
    """By a name, because a configuration that says so itself is refused."""
    names = Names(tmp_path_factory.mktemp("names"), {"gate.test": (LOOPBACK,)})
    return start_bed(launcher=names.launcher(), routes={"SELF": "gate.test:plain", "SELFTLS": "gate.test:tls"})


def test_row_111_a_loop_in_the_configuration(start_bed: Callable[..., Bed]) -> None:
    with pytest.raises(AssertionError, match=r"(?s)ended with 2.*\.servers\.0\.address: this is the gateway itself"):
        start_bed(routes={"SELF": f"{LOOPBACK}:plain"})


@pytest.mark.parametrize("times", [1, 5])
def test_row_111_a_loop_does_not_run_away(case: Case, times: int) -> None:
    """The connections of one address that wait for an answer are few: the last one is closed, all others rejected."""
    connections = case.gateway.metric("connections_total")
    peers = [case.secured() for _ in range(times)]
    asked = time.monotonic()
    for peer in peers:
        peer.send(pdus.associate_rq(called=b"SELF".ljust(16)))
    for peer in peers:
        assert peer.rejected() == "2/3/1"
        # Its first hop was closed, or passes on the rejection by the one behind it.
        reason = case.record(peer)["reason"]
        assert reason in ("upstream_rejected", "upstream_unavailable")
        case.refused(peer, reason)
    assert time.monotonic() - asked < SOON
    opened = case.gateway.metric("connections_total") - connections - times
    assert HOPS < opened <= (HOPS + 1) * times, opened
    case.flooded(LOOPBACK, {"address_limit", "upstream_unavailable", "upstream_rejected"}, at_most=20)
    until(lambda: case.gateway.metric("connections_active") == 1, "the loop is taken down", SOON)


def test_row_111_a_loop_into_a_tls_listener(case: Case) -> None:
    """One dial, which is not TLS."""
    connections = case.gateway.metric("connections_total")
    peer = case.secured()
    asked = time.monotonic()
    peer.send(pdus.associate_rq(called=b"SELFTLS".ljust(16)))
    assert peer.rejected() == "2/3/1"
    assert time.monotonic() - asked < SOON
    case.refused(peer, "upstream_unavailable")
    case.refused(LOOPBACK, "not_tls")
    assert case.gateway.metric("connections_total") == connections + 2
