"""Routes that were suspected of a loop, in the memory that all processes share."""

import pytest

from proxy.shared import probes as module
from proxy.shared.probes import LoopFinding, Probes
from proxy.shared.server_states import ServerStates
from proxy.shared.table import PROBES_AT, SharedTable, key_of

ROUTE, OTHER = key_of("route", "one"), key_of("route", "other")
NAME = b"LOOP-0123456789a"
LEASE = 2.0


class Two:
    """Two processes with one table."""

    def __init__(self) -> None:
        self.table = SharedTable.create(2, 8)
        self.here, self.there = Probes(self.table), Probes(self.table)


@pytest.fixture
def two() -> Two:
    return Two()


def test_an_unknown_route_has_no_finding(two: Two) -> None:
    assert not two.here.any(0.0)
    assert two.here.finding(ROUTE, 0.0) is None
    assert not two.here.seen_again(NAME, 0.0)


def test_a_probe_that_comes_back_is_a_loop_for_all_processes(two: Two) -> None:
    assert two.here.begin(ROUTE, NAME, 100.0, LEASE)
    assert two.there.finding(ROUTE, 100.0) is LoopFinding.ASKED
    assert two.there.seen_again(NAME, 100.1)
    assert two.here.end(ROUTE, 100.2, over=True) is LoopFinding.LOOP
    assert two.there.finding(ROUTE, 130.0) is LoopFinding.LOOP
    assert two.there.finding(OTHER, 130.0) is None
    assert two.here.any(130.0)
    # After 30 seconds the loop has to be found again.
    assert two.there.finding(ROUTE, 130.2) is None
    assert not two.here.any(130.2)
    assert two.there.begin(ROUTE, NAME, 130.2, LEASE)


def test_a_route_without_a_loop_is_not_probed_again_for_a_minute(two: Two) -> None:
    assert two.here.begin(ROUTE, NAME, 100.0, LEASE)
    assert two.here.end(ROUTE, 101.0, over=True) is LoopFinding.NO_LOOP
    assert not two.there.begin(ROUTE, NAME, 160.0, LEASE)
    assert two.there.begin(ROUTE, NAME, 161.0, LEASE)


def test_a_probe_that_was_given_up_finds_nothing(two: Two) -> None:
    assert two.here.begin(ROUTE, NAME, 100.0, LEASE)
    assert two.here.end(ROUTE, 100.1, over=False) is None
    assert two.there.finding(ROUTE, 100.1) is None
    assert two.there.begin(ROUTE, NAME, 100.7, LEASE)


def test_one_probe_at_a_time_and_half_a_second_after_the_last(two: Two) -> None:
    assert two.here.begin(ROUTE, NAME, 100.0, LEASE)
    assert not two.there.begin(OTHER, NAME, 101.9, LEASE)
    two.here.end(ROUTE, 101.9, over=True)
    assert not two.there.begin(OTHER, NAME, 102.3, LEASE)
    assert two.there.begin(OTHER, NAME, 102.5, LEASE)


def test_a_process_that_is_killed_while_it_probes_blocks_others_only_for_its_lease(two: Two) -> None:
    assert two.here.begin(ROUTE, NAME, 100.0, LEASE)
    assert two.there.begin(ROUTE, NAME, 100.0 + LEASE, LEASE)


def test_a_probe_that_comes_back_late_proves_the_loop_too(two: Two) -> None:
    assert two.here.begin(ROUTE, NAME, 100.0, LEASE)
    assert two.here.end(ROUTE, 102.0, over=True) is LoopFinding.NO_LOOP
    assert two.there.seen_again(NAME, 105.0)
    assert two.here.finding(ROUTE, 105.0) is LoopFinding.LOOP
    # The name is known as long as the loop, and seeing it again does not prolong the loop.
    assert two.there.seen_again(NAME, 134.0)
    assert two.here.finding(ROUTE, 135.0) is None
    assert not two.there.seen_again(NAME, 135.0)


@pytest.mark.parametrize("name", [b"", b"LOOP-", b"LOOP-0123456789b", NAME[:-1], NAME + NAME, bytes(16)])
def test_no_other_name_is_a_probe(name: bytes, two: Two) -> None:
    assert two.here.begin(ROUTE, NAME, 100.0, LEASE)
    assert not two.there.seen_again(name, 100.0)


def test_a_loop_seen_without_a_probe_is_new_once(two: Two) -> None:
    assert two.here.found(ROUTE, 100.0)
    assert not two.there.found(ROUTE, 110.0)
    assert two.there.found(ROUTE, 131.0)


def test_probes_push_out_the_oldest_route_without_a_loop_and_no_loop(two: Two) -> None:
    """However many routes are probed, there is room for a loop: at most two probes begin in a second."""
    loops = {key_of("loop", str(number)) for number in range(5)}
    for key in loops:
        assert two.here.found(key, 100.0)
    now = 100.0
    for number in range(2 * module._ROWS):
        now += 0.1
        two.here._busy[0] = 0.0
        assert two.here.begin(key_of(str(number)), NAME, now, LEASE)
        two.here.end(key_of(str(number)), now, over=True)
    assert all(two.there.finding(key, now) is LoopFinding.LOOP for key in loops)
    assert two.there.finding(key_of(str(number)), now) is LoopFinding.NO_LOOP
    assert two.there.finding(key_of("0"), now) is None


def test_if_all_rows_are_loops_no_probe_begins(two: Two) -> None:
    for number in range(module._ROWS):
        assert two.here.found(key_of(str(number)), 100.0)
    assert not two.here.found(ROUTE, 100.0)
    assert not two.here.begin(ROUTE, NAME, 100.0, LEASE)
    assert two.here.begin(ROUTE, NAME, 131.0, LEASE)


def test_servers_and_probes_do_not_overlap(two: Two) -> None:
    states = ServerStates(two.table)
    assert states._rows.end <= PROBES_AT
    for number in range(300):  # more than it has rows
        states.failed(key_of("server", str(number)), 100.0, 100.0, alone=False)
    assert not two.here.any(0.0)
    for number in range(module._ROWS):
        assert two.here.found(key_of("route", str(number)), 100.0)
    assert all(states.failures(key_of("server", str(number))) == 1 for number in range(256))
