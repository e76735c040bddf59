"""Rows 114 and 115: memory that is short, for all processes, for one, and for a single piece of work."""

import os
import resource
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.pdu import PduType
from tests.bad_inputs.memory_cgroup import memory_cgroup
from tests.support.archive import Archive
from tests.support.attempts import CUT, attempt, echo_once, seconds_to_be_served
from tests.support.client import associate, client_context, connect, echo, p_data, release, request
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs
from tests.support.processes import until
from tests.support.sabotage import sabotage
from tests.support.site import Site, port_of
from tests.support.steering import ask, wait_serving, workers
from tests.support.wire import END, Wire

MIB = 1 << 20
TEMPORARY = bytes((2, 3, 1))  # result, source and reason of an A-ASSOCIATE-RJ (PS3.8 Table 9-21)

#: Takes so many MiB, and keeps them, when a file with the worker's process id in its name is there.
GROWS = """
import threading, time

def grow():
    flag, kept = f"{folder}/{os.getpid()}", []
    while not os.path.exists(flag):
        time.sleep(0.02)
    with open(flag) as size:
        wanted = int(size.read())
    for _ in range(wanted):
        kept.append(b"x" * (1 << 20))
    time.sleep(3600)

threading.Thread(target=grow, daemon=True).start()
"""


def two_workers(gateway: Gateway) -> dict[int, Wire]:
    """An association on each of the two workers, by process id."""
    found: dict[int, Wire] = {}
    while len(found) < 2:
        before = {row["id"] for row in ask(gateway, "status")["associations"]}
        wire = associate(connect(port_of(gateway.config), client_context()))
        rows = ask(gateway, "status")["associations"]
        (pid,) = (row["worker"] for row in rows if row["id"] not in before)
        if pid in found:
            release(wire)
        else:
            found[pid] = wire
    return found


def oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_row_114_the_group_runs_out_of_memory(site: Site, tmp_path: Path) -> None:
    """The kernel ends the worker that grew: not the supervisor, and not the other worker; a new one comes.

    There are no steps at 90 and 95 %: what a connection may hold has a cap, and `limits.connections` is the step that
    comes before. In a service the unit's OOMPolicy=continue leaves the rest alone (tests/unit/test_deploy.py).
    """
    folder = tmp_path / "grow"
    launcher = sabotage(folder, f"folder = {str(folder)!r}\n{GROWS}")
    with memory_cgroup() as cgroup, Pacs(Archive()) as pacs:
        config = site.one_tenant(pacs.port, workers=2, control=str(tmp_path / "control.sock"))
        enter = ("sh", "-c", f'echo $$ > {cgroup.path}/cgroup.procs; exec "$@"', "sh")
        gateway = Gateway(tmp_path / "gateway", config, launcher=(*enter, *launcher))
        try:
            wires = two_workers(gateway)
            victim, other = wires
            cgroup.limit(400 * MIB)
            (folder / str(victim)).write_text("1000")
            lost = gateway.wait_for_event("worker_lost")
            assert (lost["pid"], lost["ended"]) == (victim, "SIGKILL")
            echo(wires[other])
            wait_serving(gateway, 2)
            seconds_to_be_served(port_of(config), client_context())
            release(wires[other])
            gateway.check_healthy()
            assert len([event for event in gateway.events if event["event"] == "worker_lost"]) == 1
            wires[victim].close()
        finally:
            gateway.stop()


def niceness(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def test_row_114_workers_go_first(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    """The kernel ends workers first, of any size: the end of the supervisor would end everything."""
    with Pacs(Archive()) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port, workers=2))
        for pid in workers(gateway):
            assert oom_score(pid) > oom_score(gateway.pid) == oom_score(os.getpid())
            assert niceness(pid) == niceness(os.getpid()) >= niceness(gateway.pid)


def test_row_114_a_worker_without_memory(site: Site, tmp_path: Path) -> None:
    """One worker gets no further page: its associations go on or end by themselves, and it recovers or is replaced.

    The address space is limited here, which needs no privilege and fails allocations instead of ending the process.
    """
    with Pacs(Archive()) as pacs:
        config = site.one_tenant(pacs.port, workers=2, control=str(tmp_path / "control.sock"))
        gateway = Gateway(tmp_path / "gateway", config)
        try:
            starve_one(gateway)
        finally:
            code = gateway.child.end()
        assert code == 0 and "Traceback" not in gateway.child.text


def starve_one(gateway: Gateway) -> None:
    port = port_of(gateway.config)
    wires = two_workers(gateway)
    victim, other = wires
    size = int(Path(f"/proc/{victim}/statm").read_text().split()[0]) * resource.getpagesize()
    unlimited = resource.prlimit(victim, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))
    held, failed = [], 0
    for number in range(200):
        try:
            held.append(attempt(port, client_context(), f"MANY{number}", timeout=5))
        except CUT:
            failed += 1
        echo(wires[other])
    assert failed, "the shortage was none"
    if victim in workers(gateway):
        resource.prlimit(victim, resource.RLIMIT_AS, unlimited)
    for wire in held:
        wire.close()
    echo(wires[other])
    release(wires[other])
    wires[victim].close()
    wait_serving(gateway, 2)
    for _ in range(10):
        echo_once(port, client_context())
    until(lambda: gateway.metric("connections_active") == 0, "everything is given back")


MARK = "nomemory"
#: What has no memory for what holds the mark: module, name, and how far the association has come by then.
PLACES = [
    ("proxy.tls.hello", "ClientHelloReader.feed", "hello"),
    ("proxy.net.association", "understand_request", "request"),
    ("proxy.net.association", "edit_associate_rq", "request"),
    ("proxy.net.stages", "restore_associate_ac", "request"),
    ("proxy.dimse.walk", "MessageWalk.feed", "data"),
]
FAILS = """
import importlib

def scarce(function):
    def called(*arguments, **more):
        if any(mark in bytes(one) for one in arguments if isinstance(one, (bytes, bytearray, memoryview))):
            raise MemoryError
        return function(*arguments, **more)
    return called

owner = importlib.import_module(module)
*path, name = name.split(".")
for part in path:
    owner = getattr(owner, part)
setattr(owner, name, scarce(getattr(owner, name)))
"""


@pytest.mark.parametrize(("module", "name", "stage"), PLACES, ids=lambda value: value.rpartition(".")[2])
def test_row_115_no_memory_in_one_parser(site: Site, tmp_path: Path, module: str, name: str, stage: str) -> None:
    """The connection ends with an answer if possible, and no other one is affected."""
    launcher = sabotage(tmp_path / "scarce", f"module, name, mark = {module!r}, {name!r}, {MARK.encode()!r}\n{FAILS}")
    with Pacs(Archive()) as pacs:
        config = site.one_tenant(pacs.port)
        gateway = Gateway(tmp_path / "gateway", config, launcher=launcher)
        try:
            port, context = port_of(config), client_context()
            other = associate(connect(port, context))
            descriptors = gateway.child.descriptors()
            fail_at(stage, port)
            record = gateway.wait_for_record(lambda record: record.get("reason") == "internal")
            assert record["detail"].startswith("MemoryError")
            assert len([event for event in gateway.events if event["event"] == "internal"]) == 1
            echo(other)
            echo_once(port, context)
            until(lambda: gateway.child.descriptors() <= descriptors, "everything is given back")
            release(other)
        finally:
            code = gateway.child.end()
        assert code == 0 and "Traceback" not in gateway.child.text


def fail_at(stage: str, port: int) -> None:
    """Send the mark, and hear what the gateway has to say at this stage."""
    if stage == "hello":
        with connect(port) as wire, pytest.raises((OSError, ssl.SSLError)):
            wire.start_tls(client_context(), f"{MARK}.example.org")
        return
    with connect(port, client_context()) as wire:
        if stage == "request":
            wire.send(request(calling=MARK))
            answer = wire.receive_pdu()
            assert answer[:1] == bytes([PduType.A_ASSOCIATE_RJ]) and answer[7:10] == TEMPORARY, answer.hex()
        else:
            associate(wire)
            wire.send(p_data(MARK.encode()))
            with pytest.raises(ConnectionResetError):  # its state cannot be trusted: no byte of ours
                wire.receive_pdu()
            return
        assert wire.receive_pdu() == END
