"""Upstreams of several servers, their health checks, and their state in status, metrics and log."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.client import associate, client_context, connect, echo, release
from tests.support.gateway import REPOSITORY, Gateway, Record
from tests.support.pacs import Visit
from tests.support.processes import clean_environment
from tests.support.site import Site, port_of
from tests.support.steering import ask


def at(port: int, **more: Any) -> Record:
    """A server on 127.0.0.1; `more`: weight, backup."""
    return {"address": f"127.0.0.1:{port}", **more}


def echo_check(**changes: Any) -> Record:
    """A check that is often, and patient where the machine is busy."""
    check = {"type": "echo", "called_aet": "MAINPACS", "interval": "100ms", "timeout": "2s", "rise": 2, "fall": 2}
    return {**check, **changes}


def tcp_check(**changes: Any) -> Record:
    """A health check that only connects."""
    return {"type": "tcp", "interval": "100ms", "timeout": "2s", "rise": 2, "fall": 2, **changes}


def pool(site: Site, tmp_path: Path, servers: list[Record], check: Record | None, **changes: Any) -> Record:
    """A configuration with one upstream, the first server of which is asked first."""
    upstream = {"servers": servers, "balance": "first_up", "health_check": check, **changes.pop("upstream", {})}
    return site.one_tenant(upstream, control=str(tmp_path / "control.sock"), **changes)


def served_by(gateway: Gateway) -> int:
    """The port of the server that an association of now is on."""
    since = gateway.mark()
    with connect(port_of(gateway.config), client_context()) as wire:
        associate(wire)
        echo(wire)
        release(wire)
    record = gateway.wait_for_record(since=since)
    return int(record["server"].rpartition(":")[2])


def server_status(gateway: Gateway, port: int | str) -> Record:
    """The state of a server in `dicomgate status`. `server`: a port of 127.0.0.1, or a whole address."""
    label = f"127.0.0.1:{port}" if isinstance(port, int) else port
    servers = [server for upstream in ask(gateway, "status")["upstreams"] for server in upstream["servers"]]
    return next(server for server in servers if server["server"] == label)


def status_text(gateway: Gateway) -> str:
    """The text of `dicomgate status`."""
    command = [sys.executable, "-m", "proxy.cli", "status", "--config", str(gateway.path)]
    environment = clean_environment({"PYTHONPATH": str(REPOSITORY), "COLUMNS": "300"})
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def status_json(gateway: Gateway) -> Record:
    """The output of `dicomgate status --format json`."""
    command = [sys.executable, "-m", "proxy.cli", "status", "--config", str(gateway.path), "--format", "json"]
    environment = clean_environment({"PYTHONPATH": str(REPOSITORY)})
    return dict(json.loads(subprocess.run(command, capture_output=True, check=True, env=environment).stdout))


def checks(gateway: Gateway, port: int | str | None = None, **labels: str) -> float:
    """Health checks that have ended, of one server or of all."""
    if port is not None:
        labels["server"] = f"127.0.0.1:{port}" if isinstance(port, int) else port
    return gateway.metric("upstream_health_checks_total", **labels)


def outcomes(gateway: Gateway, **labels: str) -> set[str]:
    """The counts of health checks so far, by result."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    found = set()
    for line in gateway.get("/metrics")[1].splitlines():
        series, _, value = line.rpartition(" ")
        if series.startswith("dicomgate_upstream_health_checks_total{") and all(part in series for part in wanted):
            found |= {series.rpartition('result="')[2].partition('"')[0]} if float(value) else set()
    return found


def is_up(gateway: Gateway, port: int) -> bool:
    """The metrics of a server."""
    return gateway.metric("upstream_up", server=f"127.0.0.1:{port}") == 1


def wait_told(gateway: Gateway, event: str, port: int, since: int = 0) -> Record:
    """The log event of a server that went down or came back."""
    return gateway.wait_for_event(event, since=since, server=f"127.0.0.1:{port}")


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process hangs while the body runs: its kernel goes on to take connections."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def silent(visit: Visit) -> None:
    """A PACS that accepts connections and reads nothing of them."""
    visit.wire.socket.settimeout(60)
    while visit.wire.socket.recv(65536):
        pass


def hang_at_the_request(visit: Visit) -> None:
    """A PACS that reads the request and does not answer."""
    visit.request = visit.wire.receive_pdu()
    visit.until_end()
