"""The order in which the servers of an upstream are tried."""

from collections import Counter

import pytest

from proxy.config.values import Server, Upstream
from proxy.upstream.pool import candidates, pause
from tests.support import defaults

ONE, TWO, SPARE = Server("one", 104), Server("two", 104), Server("spare", 104, backup=True)


def pool(balance: str, *servers: Server) -> Upstream:
    return defaults.upstream("pacs", servers, balance=balance)


def test_the_server_with_the_fewest_associations_for_its_weight_is_first() -> None:
    heavy = Server("heavy", 104, weight=3)
    upstream = pool("least_associations", ONE, heavy)
    assert candidates(upstream, [1, 2], 0) == [heavy, ONE]
    assert candidates(upstream, [1, 4], 0) == [ONE, heavy]


def test_servers_with_as_much_to_do_take_turns() -> None:
    upstream = pool("least_associations", ONE, TWO)
    assert [candidates(upstream, [0, 0], turn)[0] for turn in range(4)] == [ONE, TWO, ONE, TWO]


@pytest.mark.parametrize("balance", ["least_associations", "round_robin", "first_up"])
def test_a_backup_is_behind_all_others(balance: str) -> None:
    upstream = pool(balance, SPARE, ONE, TWO)
    for turn in range(7):
        order = candidates(upstream, [0, 5, 9], turn)
        assert order[-1] == SPARE
        assert set(order) == {ONE, TWO, SPARE}


def test_first_up_is_the_order_of_the_file() -> None:
    assert candidates(pool("first_up", TWO, ONE), [9, 0], 5) == [TWO, ONE]


@pytest.mark.parametrize("weights", [(1, 1), (1, 2, 3), (10, 10), (7, 1), (1000, 1)])
def test_round_robin_gives_each_as_many_turns_as_its_weight(weights: tuple[int, ...]) -> None:
    servers = [Server(f"pacs-{index}", 104, weight) for index, weight in enumerate(weights)]
    upstream = pool("round_robin", *servers)
    firsts = Counter(candidates(upstream, [0] * len(servers), turn)[0] for turn in range(sum(weights)))
    assert [firsts[server] for server in servers] == list(weights)


def test_round_robin_does_not_send_in_bursts() -> None:
    upstream = pool("round_robin", Server("one", 104, 10), Server("two", 104, 10))
    firsts = [candidates(upstream, [0, 0], turn)[0].host for turn in range(20)]
    assert all(len(set(firsts[at : at + 4])) == 2 for at in range(17))


def test_the_pause_doubles_up_to_a_minute() -> None:
    assert [pause(n, alone=False) for n in (1, 2, 3, 6, 7, 65536)] == [1, 2, 4, 32, 60, 60]
    assert pause(9, alone=True) == 1
