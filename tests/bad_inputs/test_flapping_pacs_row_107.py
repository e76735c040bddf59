"""Row 107: a PACS that comes up and is killed, ten times a second."""

import collections
import contextlib
import functools
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from proxy.dimse.echo import encode_c_echo_rq
from proxy.pdu.encode import encode_abort, encode_associate_rj, encode_p_data, encode_release_rq
from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import PROMPT, Case
from tests.bad_inputs.fake_pacs import FakePacs
from tests.support import pdus
from tests.support.pdus import encode_release_rp
from tests.support.ports import free_port
from tests.support.processes import until
from tests.support.soak import scaled

FLAPPING = float(scaled(5, 600))  # seconds
PERIOD = 0.1  # seconds up, and as long down
PAUSE = scaled(5, 50) / 1000  # seconds between two requestors of a thread
THREADS = 3
RSS = 8 << 20  # bytes: the gateway's own tables of recent refusals by address, once they are full, and some at a time
UNAVAILABLE, ABORT = encode_associate_rj(2, 3, 1), encode_abort(2, 0)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def bed(start_bed: Callable[..., Bed], port: int) -> Bed:
    return start_bed(routes={"FLAPS": port})


def flap(port: int, over: threading.Event) -> None:
    """Go up and down in turn until `over`; going down resets the served connections."""
    while not over.wait(PERIOD):
        pacs = FakePacs(port)
        over.wait(PERIOD)
        pacs.die()


def visit(case: Case) -> str:
    """Make one association with a C-ECHO; its outcome must be one of three, and quick."""
    peer = case.secured()
    watch = case.stopwatch()
    with contextlib.closing(peer):
        peer.send(pdus.associate_rq(called=b"FLAPS".ljust(16)))
        outcome = answer = peer.pdu()
        if answer[:1] == b"\x02":
            peer.send(encode_p_data(1, 3, encode_c_echo_rq(1)))
            outcome = peer.pdu()
            if outcome[:1] == b"\x04":
                peer.send(encode_release_rq())
                outcome = peer.pdu()
        assert watch.seconds() < PROMPT
        if outcome == UNAVAILABLE:
            assert answer == UNAVAILABLE
            case.refused(peer, "upstream_unavailable")
            return "rejected"
        if outcome == ABORT:
            assert answer[:1] == b"\x02"
            case.passed(peer, "upstream_lost", dialled=0)
            return "aborted"
        assert outcome == encode_release_rp(), (outcome.hex(), peer.end)
        case.passed(peer, "released", dialled=0)
        return "released"


def visits(case: Case, over: threading.Event) -> collections.Counter[str]:
    found: collections.Counter[str] = collections.Counter()
    for _ in itertools.takewhile(lambda _: not over.wait(PAUSE), itertools.count()):
        found[visit(case)] += 1
    return found


@pytest.mark.slow
def test_row_107_flapping(case: Case, port: int) -> None:
    """Nothing leaks (see `Case.check`), no association waits, and new ones are served as soon as it is back."""
    case.rss_slack = RSS
    over = threading.Event()
    with ThreadPoolExecutor(THREADS + 1) as threads:
        flapping = threads.submit(flap, port, over)
        callers = [threads.submit(visits, case, over) for _ in range(THREADS)]
        try:
            time.sleep(FLAPPING)
            case.check_the_healthy_client()
        finally:
            over.set()
        flapping.result()
        found = sum((caller.result() for caller in callers), collections.Counter[str]())
    assert visit(case) == "rejected"
    with contextlib.closing(FakePacs(port)):
        assert [visit(case) for _ in range(20)] == ["released"] * 20
    gauge = functools.partial(case.gateway.metric, "upstream_associations_active", upstream="flaps")
    until(lambda: gauge() == 0, "no association is counted there any more")
    assert min(found["rejected"], found["released"]) > 20 and found["aborted"], found
