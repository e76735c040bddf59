"""Rows 117, 119 and 120: workers that are killed, that hang, and that never come up."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.pdu import encode_release_rq
from tests.support.archive import Archive, instance
from tests.support.attempts import echo_once, seconds_to_be_served
from tests.support.client import associate, client_context, connect, echo, release
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs
from tests.support.processes import PATIENCE, Child, until
from tests.support.sabotage import sabotage
from tests.support.site import Site, port_of
from tests.support.steering import ask, kill, wait_serving, workers, write_to
from tests.support.stopwatch import Stopwatch
from tests.support.wire import Wire

BACK = 0.5  # seconds until a new worker serves


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def gateway(site: Site, tmp_path: Path, archive: Archive, start_gateway: Callable[..., Gateway]) -> Iterator[Gateway]:
    with Pacs(archive) as pacs:
        yield start_gateway(site.one_tenant(pacs.port, workers=2, control=str(tmp_path / "control.sock")))


def idle(port: int) -> Wire:
    wire = associate(connect(port, client_context()), calling="VICTIM")
    echo(wire)
    return wire


def in_the_handshake(port: int) -> Wire:
    wire = connect(port)
    wire.send_raw(b"\x16\x03\x01\x02\x00\x01")
    return wire


def amid_a_store(port: int) -> Wire:
    wire = idle(port)
    pdus = instance().pdus()
    wire.send(b"".join(pdus[: len(pdus) // 2]))
    return wire


def amid_a_release(port: int) -> Wire:
    """Half an A-RELEASE-RQ is on its way."""
    wire = idle(port)
    wire.send(encode_release_rq()[:5])
    return wire


@pytest.mark.parametrize("begin", [idle, in_the_handshake, amid_a_store, amid_a_release])
def test_row_117_kill_of_a_worker(gateway: Gateway, archive: Archive, begin: Callable[[int], Wire]) -> None:
    """Associations of the other worker do not notice, no cut instance is stored, and a new worker serves at once."""
    port = port_of(gateway.config)
    others = {}
    while len({row["worker"] for row in ask(gateway, "status")["associations"]}) < 2:
        others[len(others)] = associate(connect(port, client_context()), calling=f"OTHER{len(others)}")
    before = held(gateway)
    with begin(port) as wire:
        until(lambda: held(gateway) != before, "a worker has accepted it")
        victim = next(pid for pid, count in held(gateway).items() if count > before[pid])
        kill(victim)
        watch = Stopwatch(gateway.child.family())
        assert wire.receive_all() == b"" and watch.seconds() < BACK
    watch = Stopwatch(gateway.child.family())
    seconds_to_be_served(port, client_context())
    assert watch.seconds() < BACK
    wait_serving(gateway, 2)
    gateway.wait_for_event("worker_lost")  # after the records
    lost = {row["calling_aet"]: row for row in gateway.records if row["ended"] == "worker_lost"}
    assert all(row["contexts"]["accepted"] == 2 for row in lost.values())
    assert ("VICTIM" in lost) == (begin is not in_the_handshake)
    assert gateway.metric("associations_ended_total", ended="worker_lost") == len(lost)
    dead = lost.keys()
    for number, other in others.items():
        if f"OTHER{number}" in dead:
            other.close()
        else:
            echo(other)
            release(other)
    assert archive.stored == {}


def held(gateway: Gateway) -> dict[int, int]:
    """The number of open descriptors of each worker."""
    return {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in workers(gateway)}


@pytest.mark.slow
def test_row_119_a_worker_that_hangs(gateway: Gateway) -> None:
    """A worker whose event loop stops is replaced, and counted as lost."""
    hung = workers(gateway)[0]
    os.kill(hung, signal.SIGSTOP)
    try:
        event = gateway.wait_for_event("worker_stuck", 40)
        assert event["pid"] == hung
        until(lambda: hung not in workers(gateway), "it is ended")
    finally:
        if hung in workers(gateway):  # or another process may have its number
            kill(hung)
    wait_serving(gateway, 2)
    for _ in range(10):
        echo_once(port_of(gateway.config), client_context())
    assert gateway.wait_for_event("worker_lost")["ended"] == "SIGKILL"


#: A callback that sleeps, as a look-up that blocks or a loop without end would, once a flag is there.
BLOCKED = """
import threading, time
from proxy.net import worker

tick = worker.Worker._tick

def blocking(self):
    tick(self)
    try:
        os.unlink(flag)
    except FileNotFoundError:  # the other worker may have taken it
        return
    time.sleep(30)

worker.Worker._tick = blocking
"""


@pytest.mark.slow
def test_row_119_a_callback_that_blocks(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    """The process runs, and its loop does not turn: the same, before the 30 seconds are over."""
    flag = tmp_path / "flag"
    launcher = sabotage(tmp_path / "blocked", f"flag = {str(flag)!r}\n{BLOCKED}")
    with Pacs(Archive()) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port, workers=2), launcher=launcher)
        flag.touch()
        stuck = gateway.wait_for_event("worker_stuck", 30)
        assert gateway.wait_for_event("worker_lost")["pid"] == stuck["pid"]
        wait_serving(gateway, 2)
        echo_once(port_of(gateway.config), client_context())


#: Ends each worker as it starts, while the file is there.
BROKEN = """
if os.path.exists(f"{folder}/flag"):
    with open(f"{folder}/tries", "a") as tries:
        tries.write("x")
    os._exit(7)
"""


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder; with its file `flag`, workers end as they start, and leave an x in `tries`."""
    return tmp_path / "broken"


@pytest.fixture
def launcher(broken: Path) -> tuple[str, ...]:
    return sabotage(broken, f"folder = {str(broken)!r}\n{BROKEN}")


@pytest.mark.slow
def test_row_120_workers_that_never_come_up_again(
    site: Site, tmp_path: Path, broken: Path, launcher: tuple[str, ...]
) -> None:
    """Workers are restarted ever more slowly, then given up: the service manager is to see it."""
    with Pacs(Archive()) as pacs:
        config = site.one_tenant(pacs.port, workers=2)
        gateway = Gateway(tmp_path / "gateway", config, launcher=launcher)
        try:
            (broken / "flag").touch()
            for pid in workers(gateway):
                kill(pid)
            code = gateway.child.process.wait(3 * PATIENCE)
        finally:
            gateway.child.end()
        assert code == 1
        assert 4 <= len((broken / "tries").read_text()) <= 20
        assert [event for event in gateway.events if event["event"] == "giving_up"]


def test_row_120_workers_that_never_come_up(
    site: Site, tmp_path: Path, broken: Path, launcher: tuple[str, ...]
) -> None:
    """At the start no worker is tried twice."""
    (broken / "flag").touch()
    with Pacs() as pacs:
        path = tmp_path / "config.yaml"
        write_to(path, site.one_tenant(pacs.port, workers=2))
        began = time.monotonic()
        child = Child([*launcher, sys.executable, "-m", "proxy.cli", "run", "--config", path])
        code = child.process.wait(PATIENCE)
        child.end()
    assert code == 2 and "exit code 7" in child.text, child.text
    assert time.monotonic() - began < PATIENCE / 2
    assert len((broken / "tries").read_text()) <= 2  # the end of the first one ends the other, too
