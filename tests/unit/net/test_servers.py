"""The choice of a server, and the failures of servers that all processes share."""

from typing import Any

import pytest

from proxy.config.values import Server, Upstream
from proxy.net import servers as module
from proxy.net.servers import Servers, Trial
from proxy.policy import Tenant
from proxy.shared.counts import Claim, Counts
from proxy.shared.server_states import ServerStates, server_key
from proxy.shared.table import SharedTable, key_of
from tests.support import defaults

KEY, OTHER = key_of("server", "one"), key_of("server", "other")
ONE, TWO = Server("one", 104), Server("two", 104)
POOL = defaults.upstream("pacs", (ONE, TWO), balance="first_up")
ALONE = defaults.upstream("pacs", (ONE,))
LEASE = 5.0


@pytest.fixture
def table() -> SharedTable:
    return SharedTable.create(2, 8)


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


class Journal:
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def event(self, level: str, name: str, **fields: Any) -> None:
        self.said.append((name, fields["server"]))


class Bed:
    """Two workers with one table and one clock."""

    def __init__(self, table: SharedTable, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.journal = Clock(), Journal()
        monkeypatch.setattr(module, "time", self.clock)
        self.counts = [Counts(defaults.limits(), table, slot, (0, 1)) for slot in (0, 1)]
        self.workers = [Servers(ServerStates(table), counts, self.journal, LEASE) for counts in self.counts]


@pytest.fixture
def bed(table: SharedTable, monkeypatch: pytest.MonkeyPatch) -> Bed:
    return Bed(table, monkeypatch)


def admitted(servers: Servers, upstream: Upstream, server: Server, claim: Claim) -> Trial:
    trial = servers.admit(upstream, server, claim)
    assert trial is not None
    return trial


def associated(bed: Bed, slot: int = 0) -> Claim:
    claim = Claim(None)
    assert bed.counts[slot].acquire(claim, Tenant("hospital", "pacs", ()), None) is None
    return claim


def test_one_process_alone_tries_a_server_that_failed(table: SharedTable) -> None:
    here, there = ServerStates(table), ServerStates(table)
    assert here.failed(KEY, 100, 100, alone=False)
    assert not there.admit(KEY, 100.9, LEASE)
    assert there.admit(KEY, 101, LEASE)
    assert not here.admit(KEY, 101, LEASE)
    assert here.admit(KEY, 106, LEASE)  # the process that tried it has been killed
    assert here.admit(OTHER, 101, LEASE)


def test_dials_that_were_under_way_together_count_as_one_failure(table: SharedTable) -> None:
    states = ServerStates(table)
    assert states.failed(KEY, 100, 101, alone=False)
    assert not states.failed(KEY, 100.5, 101.2, alone=False)
    assert (states.failures(KEY), states.until(KEY)) == (1, 102)
    assert not states.failed(KEY, 102, 102, alone=False)
    assert (states.failures(KEY), states.until(KEY)) == (2, 104)


def test_a_success_clears_it_for_all(table: SharedTable) -> None:
    here, there = ServerStates(table), ServerStates(table)
    for now in (100, 110, 120):
        here.failed(KEY, now, now, alone=False)
    assert there.reached(KEY)
    assert not here.reached(KEY)
    assert (here.failures(KEY), here.until(KEY)) == (0, 0)
    here.failed(KEY, 130, 130, alone=False)
    assert there.until(KEY) == 131


def test_failing_servers_beyond_the_last_row_are_dialled_as_if_they_did_not_fail(table: SharedTable) -> None:
    states = ServerStates(table)
    keys = [key_of("server", str(number)) for number in range(300)]
    for key in keys:
        states.failed(key, 100, 100, alone=False)
    assert sum(states.failures(key) for key in keys) == 256
    assert states.admit(keys[-1], 100, LEASE)
    states.reached(keys[0])
    assert states.failed(keys[-1], 100, 100, alone=False)


def test_servers_that_left_the_configuration_keep_no_row(table: SharedTable) -> None:
    states = ServerStates(table)
    states.checked(server_key(POOL, TWO), down=True)
    for number in range(300):
        states.failed(server_key(POOL, Server(str(number), 104)), 100, 100, alone=False)
    states.keep_only([POOL])
    assert states.down(server_key(POOL, TWO))
    assert states.failed(server_key(POOL, ONE), 100, 100, alone=False)
    assert not states.failing(server_key(POOL, Server("7", 104)))


def test_server_states_do_not_overwrite_the_counts(table: SharedTable) -> None:
    states = ServerStates(table)
    for number in range(256):
        states.failed(key_of("server", str(number)), 1e9, 1e9, alone=False)
    with table.lock:
        table.add(0, KEY, 1)
    table.forget(1)
    assert table.total(KEY) == 1


def test_a_server_that_fails_is_left_out_and_comes_back(bed: Bed) -> None:
    one, other = bed.workers
    claim = associated(bed)
    assert one.order(POOL) == [ONE, TWO]
    one.failed(admitted(one, POOL, ONE, claim))
    assert other.order(POOL) == [TWO]
    assert other.next_trial(POOL) == 0
    bed.clock.now += 1
    assert other.order(POOL) == [ONE, TWO]
    late = associated(bed, 1)
    trial = admitted(other, POOL, ONE, late)
    assert not one.admit(POOL, ONE, claim)
    assert one.order(POOL) == [TWO]
    other.reached(trial)
    assert one.order(POOL) == [ONE, TWO]
    assert bed.journal.said == [("server_down", "one:104"), ("server_up", "one:104")]


def test_workers_begin_their_turns_with_different_servers(bed: Bed) -> None:
    in_turn = defaults.upstream("pacs", (ONE, TWO), balance="round_robin")
    assert [[worker.order(in_turn)[0] for _ in range(4)] for worker in bed.workers] == [[ONE, TWO] * 2, [TWO, ONE] * 2]


def test_an_association_counts_for_the_server_that_took_it(bed: Bed, table: SharedTable) -> None:
    one = bed.workers[0]
    claim = associated(bed)
    one.failed(admitted(one, POOL, ONE, claim))
    one.reached(admitted(one, POOL, TWO, claim))
    assert [bed.counts[1].count(server_key(POOL, server)) for server in (ONE, TWO)] == [0, 1]
    bed.counts[0].release(claim)
    assert bed.counts[1].count(server_key(POOL, TWO)) == 0


def test_a_killed_worker_counts_for_no_server(bed: Bed, table: SharedTable) -> None:
    bed.workers[1].admit(POOL, TWO, associated(bed, 1))
    table.forget(1)
    assert bed.counts[0].count(server_key(POOL, TWO)) == 0


def test_an_only_server_is_tried_each_time_and_its_failures_are_counted(bed: Bed, table: SharedTable) -> None:
    one = bed.workers[0]
    for number in range(1, 5):
        claim = associated(bed)
        assert one.order(ALONE) == [ONE]
        one.failed(admitted(one, ALONE, ONE, claim))
        assert ServerStates(table).failures(server_key(ALONE, ONE)) == number
    one.reached(admitted(one, ALONE, ONE, claim))
    assert ServerStates(table).failures(server_key(ALONE, ONE)) == 0
    assert bed.journal.said == []


def test_if_all_fail_each_is_tried_every_second_by_one_process(bed: Bed, table: SharedTable) -> None:
    one, two = bed.workers
    claim = associated(bed)
    for _ in range(8):  # long pauses by now
        for server in POOL.servers:
            while (trial := one.admit(POOL, server, claim)) is None:
                bed.clock.now += 1
            one.failed(trial)
    assert one.order(POOL) == []
    assert 0 < one.next_trial(POOL) <= 1
    bed.clock.now += 1
    assert one.order(POOL) == [ONE, TWO]
    trial = admitted(one, POOL, ONE, claim)
    assert not two.admit(POOL, ONE, associated(bed, 1)), "one process alone"
    one.reached(trial)
    assert one.order(POOL) == [ONE], "the other one has its own pause again"


def test_after_an_abandoned_trial_any_process_may_try(bed: Bed, table: SharedTable) -> None:
    one, two = bed.workers
    claim = associated(bed)
    one.failed(admitted(one, POOL, ONE, claim))
    bed.clock.now += 1
    one.abandoned(admitted(one, POOL, ONE, claim))
    assert two.admit(POOL, ONE, associated(bed, 1))


# --- health checks ----------------------------------------------------------------------------------------------------

CHECKED = defaults.upstream("pacs", (ONE, TWO), balance="first_up", health_check=defaults.health_check("tcp"))
CHECKED_ALONE = defaults.upstream("pacs", (ONE,), health_check=defaults.health_check("tcp"))


def down(table: SharedTable, *servers: Server) -> ServerStates:
    states = ServerStates(table)
    for server in servers:
        assert states.checked(server_key(POOL, server), down=True)
    return states


def test_a_verdict_of_a_health_check_is_reported_once(table: SharedTable) -> None:
    here, there = ServerStates(table), ServerStates(table)
    assert not here.checked(KEY, down=False)
    assert here.checked(KEY, down=True)
    assert not there.checked(KEY, down=True)
    assert (there.down(KEY), there.failing(KEY), there.failures(KEY)) == (True, True, 0)
    assert there.checked(KEY, down=False)
    assert not here.checked(KEY, down=False)
    assert not here.failing(KEY)


def test_a_connection_does_not_lift_the_verdict(table: SharedTable) -> None:
    states = ServerStates(table)
    assert states.failed(KEY, 100, 100, alone=False)
    assert states.checked(KEY, down=True)
    assert not states.reached(KEY)
    assert (states.down(KEY), states.failures(KEY)) == (True, 0)


def test_good_checks_forget_what_failed_before_them_only(table: SharedTable) -> None:
    states = ServerStates(table)
    assert states.failed(KEY, 100, 100, alone=False)
    assert not states.reached(KEY, before=99)
    assert states.failing(KEY)
    assert states.reached(KEY, before=100)
    assert not states.failing(KEY)


def test_a_server_that_is_down_is_never_dialled_while_another_is_up(bed: Bed, table: SharedTable) -> None:
    down(table, ONE)
    bed.clock.now += 1e6
    assert bed.workers[0].order(CHECKED) == [TWO]
    assert not bed.workers[0].admit(CHECKED, ONE, associated(bed))


def test_if_all_are_down_each_is_tried_once_a_second(bed: Bed, table: SharedTable) -> None:
    down(table, ONE, TWO)
    here, there = bed.workers
    assert here.order(CHECKED) == [ONE, TWO]
    assert here.admit(CHECKED, ONE, associated(bed))
    assert there.order(CHECKED) == [TWO]
    assert not there.admit(CHECKED, ONE, associated(bed, 1))
    bed.clock.now += 1
    assert there.admit(CHECKED, ONE, associated(bed, 1))


def test_the_only_server_that_is_down_is_tried_once_a_second(bed: Bed, table: SharedTable) -> None:
    down(table, ONE)
    here, there = bed.workers
    claim = associated(bed)
    assert here.order(CHECKED_ALONE) == [ONE]
    trial = admitted(here, CHECKED_ALONE, ONE, claim)
    assert there.order(CHECKED_ALONE) == []
    assert 0 < there.next_trial(CHECKED_ALONE) <= 1
    here.reached(trial)
    assert (
        there.order(CHECKED_ALONE) == []
    )  # a connection proves nothing: the server may hang and accept no association
    here.accepted(CHECKED_ALONE, "one:104")
    assert there.order(CHECKED_ALONE) == [ONE] and there.admit(CHECKED_ALONE, ONE, associated(bed, 1))
    assert bed.journal.said == [("server_up", "one:104")]


def test_an_association_that_is_accepted_lifts_the_verdict_once(bed: Bed, table: SharedTable) -> None:
    states = down(table, ONE)
    for worker in bed.workers:
        worker.accepted(CHECKED, "one:104")
        worker.accepted(CHECKED, None)
    assert not states.failing(server_key(POOL, ONE))
    assert bed.journal.said == [("server_up", "one:104")]
