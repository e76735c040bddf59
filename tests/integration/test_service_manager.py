"""systemd: readiness and state on NOTIFY_SOCKET, and listening sockets that it owns (LISTEN_FDS).

Row 118 of docs/robustness.md.
"""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.archive import Archive
from tests.support.attempts import echo_once, seconds_to_be_served
from tests.support.client import associate, client_context, connect, echo, release
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, until
from tests.support.site import Site, port_of
from tests.support.socket_unit import Unit
from tests.support.steering import ask, kill, reloaded, wait_serving, workers, write


class Manager:
    """A fake service manager: `said` holds the messages of a gateway, oldest first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: list[dict[str, str]] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(PATIENCE)

    def wait(self, name: str, value: str = "1") -> dict[str, str]:
        """The next message that holds this variable."""
        while True:
            message = dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())
            self.said.append(message)
            if message.get(name) == value:
                return message


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.socket.close()


def test_it_tells_its_state(site: Site, tmp_path: Path, manager: Manager) -> None:
    with Pacs(Archive()) as pacs:
        config = site.one_tenant(pacs.port, workers=1, control=str(tmp_path / "control.sock"))
        gateway = Gateway(tmp_path / "gateway", config, launcher=("env", f"NOTIFY_SOCKET={manager.path}"))
        try:
            assert "listener" in manager.wait("READY")["STATUS"]
            assert manager.said == [manager.said[-1]], "nothing before READY=1"
            echo_once(port_of(config), client_context())
            manager.wait("WATCHDOG")
            reloaded(gateway)
            assert int(manager.wait("RELOADING")["MONOTONIC_USEC"]) > 0
            assert "generation 2" in manager.wait("READY")["STATUS"]
            write(gateway, {"version": 2})
            assert not ask(gateway, "reload")["ok"]
            manager.wait("RELOADING")
            assert "previous configuration" in manager.wait("READY")["STATUS"]
            with associate(connect(port_of(config), client_context())) as wire:
                gateway.child.process.send_signal(signal.SIGTERM)
                assert manager.wait("STOPPING")["STATUS"] == "draining"
                manager.wait("WATCHDOG")  # a long drain is not a hang
                release(wire)
            assert gateway.child.process.wait(PATIENCE) == 0
        finally:
            gateway.child.end()
        assert "Traceback" not in gateway.child.text


@pytest.fixture
def ports() -> list[int]:
    return [free_port(), free_port()]


@pytest.fixture
def unit(tmp_path: Path, ports: list[int]) -> Iterator[Unit]:
    unit = Unit(tmp_path, ports)
    yield unit
    unit.close()


def test_it_serves_sockets_that_it_was_given(site: Site, tmp_path: Path, unit: Unit, ports: list[int]) -> None:
    """Taken by address; one that no listener binds is named; over reloads and restarts of workers they stay."""
    with Pacs(Archive()) as pacs:
        config = site.one_tenant(pacs.port, port=ports[1], workers=1, control=str(tmp_path / "control.sock"))
        gateway = unit.start(config)
        try:
            assert gateway.wait_for_event("inherited_socket_unused")["address"] == f"127.0.0.1:{ports[0]}"
            context = client_context()
            echo_once(ports[1], context)
            config["listeners"]["dicom-tls"]["bind"] = [f"127.0.0.1:{port}" for port in ports]
            reloaded(gateway, config)
            for port in ports:
                echo_once(port, context)
            kill(workers(gateway)[0])
            seconds_to_be_served(ports[0], context)
            wait_serving(gateway, 1)
        finally:
            code = gateway.child.end()
        assert code == 0 and "Traceback" not in gateway.child.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_comes_between_two_runs_waits(site: Site, unit: Unit, ports: list[int], number: signal.Signals) -> None:
    """After a stop, or a killed supervisor, nothing is accepted: the next run serves the connections that wait."""
    with Pacs(Archive()) as pacs:
        config = site.one_tenant(pacs.port, port=ports[0], workers=2, timeouts={"drain": "5m"})
        first = unit.start(config)
        try:
            old = associate(connect(ports[0], client_context()))
            left = workers(first)
            first.child.process.send_signal(number)
            until(lambda: sockets_listening(left, ports[0]) == 0, "workers gave their copies up")
            waiting = [connect(ports[0]) for _ in range(20)]
            echo(old)
            release(old)
            assert first.child.process.wait(PATIENCE) == (0 if number == signal.SIGTERM else -number)
        finally:
            first.child.end()
        second = unit.start(config)
        try:
            for wire in waiting:
                wire.start_tls(client_context())
                echo(associate(wire))
                release(wire)
        finally:
            code = second.child.end()
        assert code == 0 and "Traceback" not in second.child.text


def sockets_listening(pids: list[int], port: int) -> int:
    """The number of descriptors of these processes that are sockets listening on this port."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}
    held = 0
    for pid in pids:
        with suppress(FileNotFoundError):  # ended meanwhile
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                held += os.readlink(descriptor) in inodes
    return held
