"""Rows 108 and 110: an upstream by a name that has two addresses, another address than before, or none any more."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import Case
from tests.bad_inputs.fake_pacs import FakePacs
from tests.bad_inputs.faulty_listeners import FullBacklog
from tests.bad_inputs.hostile import TlsPeer
from tests.support import pdus
from tests.support.names import Names
from tests.support.ports import free_port

ONE, OTHER = "127.77.0.1", "127.77.0.2"
NAMES = {"MOVES": "moves.test", "TWICE": "twice.test"}
CONNECT = 2.0  # seconds: upstream_connect of every bed


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Names:
    return Names(tmp_path_factory.mktemp("names"), {"moves.test": (ONE,), "twice.test": (ONE, OTHER)})


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def bed(start_bed: Callable[..., Bed], names: Names, port: int) -> Bed:
    routes: dict[str, Any] = {title: f"{name}:{port}" for title, name in NAMES.items()}
    one, other, dead = ({"address": where} for where in (f"{ONE}:{port}", f"{OTHER}:{port}", f"{ONE}:{free_port()}"))
    for title, servers in {"POOL": [one, other], "DEADFIRST": [dead, other], "DEADLAST": [other, dead]}.items():
        routes[title] = {"servers": servers, "balance": "first_up"}
    return start_bed(launcher=names.launcher(), routes=routes)


@pytest.fixture
def one(port: int) -> Iterator[FakePacs]:
    with contextlib.closing(FakePacs(port, ONE)) as pacs:
        yield pacs


@pytest.fixture
def other(port: int) -> Iterator[FakePacs]:
    with contextlib.closing(FakePacs(port, OTHER)) as pacs:
        yield pacs


def asking(case: Case, called: str, calling: str = "CT1") -> TlsPeer:
    peer = case.secured()
    peer.send(pdus.associate_rq(called=called.encode().ljust(16), calling=calling.encode().ljust(16)))
    return peer


def served(case: Case, called: str) -> TlsPeer:
    """An association that lives."""
    with case.promptly():
        peer = asking(case, called)
        peer.accepted()
        peer.echo()
    return peer


@pytest.mark.parametrize("alive", ["one", "other"])
def test_row_108_two_addresses_and_one_is_dead(case: Case, alive: str, request: pytest.FixtureRequest) -> None:
    """Before the request is sent the next address is tried."""
    pacs = request.getfixturevalue(alive)
    for _ in range(5):
        case.released(served(case, "TWICE"), dialled=0)
    assert pacs.dials == 5


def test_row_108_two_addresses_and_one_is_a_black_hole(case: Case, port: int, other: FakePacs) -> None:
    """The address gets its share of `upstream_connect`, which leaves time for the next one."""
    with contextlib.closing(FullBacklog(port, ONE)):
        watch = case.stopwatch()
        peer = asking(case, "TWICE")
        peer.accepted()
        assert time.monotonic() - peer.opened > CONNECT / 2 * 0.9 and watch.seconds() < CONNECT
        case.released(peer, dialled=0)
    assert other.dials == 1


def test_row_108_never_after_the_request_was_sent(case: Case, one: FakePacs, other: FakePacs) -> None:
    """The first address has the request, and dies: nothing is tried again elsewhere."""
    for number in range(1, 6):
        peer = asking(case, "TWICE", "HANDOVER108")
        one.side("HANDOVER108").reset()
        assert peer.rejected() == "2/3/1"
        case.refused(peer, "upstream_unavailable")
        assert (one.dials, other.dials) == (number, 0)


@pytest.mark.parametrize("called", ["DEADFIRST", "DEADLAST"])
def test_row_108_two_servers_and_one_is_dead(case: Case, called: str, other: FakePacs) -> None:
    for _ in range(5):
        case.released(served(case, called), dialled=0)
    assert other.dials == 5
    refused = case.gateway.metric("upstream_connect_attempts_total", upstream=called.lower(), result="refused")
    assert 1 <= refused < 5 if called == "DEADFIRST" else refused == 0


def test_row_108_never_another_server_after_the_request_was_sent(case: Case, one: FakePacs, other: FakePacs) -> None:
    """The first server has the request, and dies: nothing is sent again."""
    peer = asking(case, "POOL", "HANDOVER108")
    one.side("HANDOVER108").reset()
    assert peer.rejected() == "2/3/1"
    case.refused(peer, "upstream_unavailable")
    assert (one.dials, other.dials) == (1, 0)


def test_row_110_the_address_changes(case: Case, names: Names, one: FakePacs, other: FakePacs) -> None:
    """Associations that run keep going; new ones go to the new address at once."""
    names.mean("moves.test", ONE)
    before = [served(case, "MOVES") for _ in range(3)]
    assert (one.dials, other.dials) == (3, 0)
    names.mean("moves.test", OTHER)
    after = [served(case, "MOVES") for _ in range(3)]
    assert (one.dials, other.dials) == (3, 3)
    for peer in before + after:
        peer.echo()
        case.released(peer, dialled=0)


def test_row_110_the_old_address_dies(case: Case, names: Names, other: FakePacs, port: int) -> None:
    """Associations on the old address are aborted, those on the new one do not notice."""
    names.mean("moves.test", ONE)
    one = FakePacs(port, ONE)
    old = served(case, "MOVES")
    names.mean("moves.test", OTHER)
    new = served(case, "MOVES")
    one.die()
    assert old.aborted() == "2/0"
    case.passed(old, "upstream_lost", dialled=0)
    new.echo()
    case.released(new, dialled=0)


def test_row_110_the_name_is_gone(case: Case, names: Names, one: FakePacs) -> None:
    """A name service that fails does not stop the work: the last good answer holds."""
    names.mean("moves.test", ONE)
    case.released(served(case, "MOVES"), dialled=0)
    names.mean("moves.test")
    peer = served(case, "MOVES")
    case.released(peer, dialled=0)
    assert one.dials == 2
