"""The verbs that speak to a running gateway, against a running gateway."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.__main__ import main
from proxy.cli.asking import Gateway as Control
from proxy.pdu import PduType
from tests.support.client import associate, client_context, connect, echo, release, request
from tests.support.gateway import REPOSITORY, Gateway
from tests.support.pacs import Pacs, mirror
from tests.support.processes import Child, clean_environment, until
from tests.support.site import Site, port_of
from tests.support.steering import write_to
from tests.support.wire import Wire

Capture = pytest.CaptureFixture[str]
DRAINING = bytes([PduType.A_ASSOCIATE_RJ, 0, 0, 0, 0, 4, 0, 2, 3, 1])


class Bed:
    """A gateway with a control socket, and its senders."""

    def __init__(self, site: Site, folder: Path, pacs: Pacs) -> None:
        peers = [{"name": "ct", "aet": "CT1", "allow": ["all"]}, {"name": "rest", "aet": "*", "allow": ["all"]}]
        config = site.one_tenant(pacs.port, control="control.sock", workers=2, peers=peers, timeouts={"drain": "60s"})
        self.gateway = Gateway(folder, config)
        self.path = self.gateway.path
        self.wires: list[Wire] = []
        self._port = port_of(config)
        self._context = client_context(site.path("ca.pem"))

    def status(self) -> dict[str, Any]:
        return dict(Control(str(self.path.parent / "control.sock")).ask("status"))

    def connect(self) -> Wire:
        wire = connect(self._port, self._context)
        self.wires.append(wire)
        return wire

    def associate(self, calling: str = "CT1") -> tuple[Wire, str]:
        """An open association, and its id."""
        before = {one["id"] for one in self.status()["associations"]}
        wire = associate(self.connect(), calling=calling)
        new = until(lambda: {one["id"] for one in self.status()["associations"]} - before, "it is shown")
        return wire, new.pop()

    def main(self, verb: str, *arguments: str) -> int:
        return main([verb, *arguments, "--config", str(self.path)])

    def start(self, verb: str, *arguments: str) -> Child:
        """The verb as a process of its own."""
        command = [sys.executable, "-m", "proxy.cli", verb, *arguments, "--config", self.path]
        return Child(command, env=clean_environment({"PYTHONPATH": str(REPOSITORY)}))


@pytest.fixture
def bed(site: Site, tmp_path: Path) -> Iterator[Bed]:
    with Pacs(mirror) as pacs:
        bed = Bed(site, tmp_path / "gateway", pacs)
        try:
            yield bed
        finally:
            for wire in bed.wires:
                wire.close()
            code = bed.gateway.child.end()
        assert code == 0, bed.gateway.child.text


def test_status_and_top_show_what_is_open(bed: Bed, capsys: Capture) -> None:
    wire, id = bed.associate(calling="[red]MR[/x]")
    echo(wire)
    assert bed.main("status", "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [worker["state"] for worker in told["workers"]] == ["running", "running"]
    [one] = told["associations"]
    assert (one["id"], one["tenant"], one["peer"], one["called_aet"]) == (id, "hospital", "rest", "MAINPACS")
    assert one["client"]["ip"] == "127.0.0.1"
    assert one["bytes_in"] > 0 < one["bytes_out"]
    assert bed.main("status") == 0
    assert "    hospital  1\n" in capsys.readouterr().out
    assert bed.main("top", "--once") == 0
    headline, columns, row = capsys.readouterr().out.splitlines()
    assert headline == "1 association open; 2 workers"
    assert columns.split()[:3] == ["id", "tenant", "peer"]
    assert row.split()[:6] == [id, "hospital", "rest", "[red]MR[/x]", ">", "MAINPACS"]
    release(wire)


def test_sigusr2_ends_nothing(bed: Bed) -> None:
    """SIGUSR2 would end the process by default; nginx and HAProxy take it as a restart without a gap."""
    wire, _ = bed.associate()
    for pid in bed.gateway.child.family():
        os.kill(pid, signal.SIGUSR2)
    assert "SIGHUP reloads" in bed.gateway.wait_for_event("signal_ignored")["message"]
    echo(wire)
    release(wire)


def test_top_is_live_on_a_terminal_and_ends_with_q(bed: Bed) -> None:
    _, id = bed.associate()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy.cli", "top", "--config", bed.path],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=clean_environment({"PYTHONPATH": str(REPOSITORY), "TERM": "xterm", "COLUMNS": "160", "LINES": "24"}),
    )
    os.close(theirs)
    try:
        seen = b""
        while id.encode() not in seen:
            seen += os.read(ours, 4096)
        os.write(ours, b"xq")
        try:
            while os.read(ours, 4096):  # a full pipe would block it
                pass
        except OSError:  # the terminal's other end is closed
            pass
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert (process.returncode, errors) == (0, b"")


def test_disconnect_ends_what_is_meant_and_nothing_else(bed: Bed, capsys: Capture) -> None:
    first, id = bed.associate()
    second, _ = bed.associate()
    third, _ = bed.associate(calling="MR1")
    assert bed.main("disconnect", "--id", id) == 0
    assert capsys.readouterr().out == "1 association ended\n"
    assert first.receive_pdu()[:1] == bytes([PduType.A_ABORT])
    first.close()
    assert bed.gateway.wait_for_record(lambda record: record["id"] == id)["ended"] == "disconnected"
    until(lambda: id not in {one["id"] for one in bed.status()["associations"]}, "it is closed")
    assert bed.main("disconnect", "--id", id) == 1
    assert bed.main("disconnect", "--tenant", "hospital", "--peer", "ct") == 0
    assert second.receive_pdu()[:1] == bytes([PduType.A_ABORT])
    echo(third)
    assert bed.main("disconnect", "--tenant", "hospital") == 0
    assert third.receive_pdu()[:1] == bytes([PduType.A_ABORT])


def test_limits_that_cannot_be_counted_wait_for_a_restart(bed: Bed, capsys: Capture) -> None:
    """The counters are made at the start, for the limits and tenants of then and about twice as many."""
    before = bed.gateway.config
    write_to(bed.path, {**before, "limits": {"connections": 1_000_000}})
    assert bed.main("reload") == 1
    assert (
        "no room for 1000000 connections (limits.connections), the tenants and the peers: restart the gateway to apply"
        in capsys.readouterr().err
    )
    write_to(bed.path, {**before, "limits": {"connections": 20_000}})
    assert bed.main("reload") == 0


def test_reload_says_what_is_wrong_and_disturbs_nobody(bed: Bed, capsys: Capture) -> None:
    wire, _ = bed.associate()
    good = bed.path.read_text()
    bed.path.write_text(good.replace("MAINPACS", "SIXTEEN-CHARACTERS-AT-MOST"))
    assert bed.main("reload") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "tenants.hospital.called_aets.0" in captured.err
    bed.path.write_text(good)
    assert bed.main("reload") == 0
    assert "generation 2 serves" in capsys.readouterr().out
    echo(wire)
    assert bed.main("status") == 0
    assert "generation 1 (old), draining, 1 association\n" in capsys.readouterr().out


def test_drain_waits_for_the_last_one(bed: Bed) -> None:
    wire, _ = bed.associate()
    drain = bed.start("drain", "--wait")
    until(lambda: drain.output and drain.errors, "it says what is open")
    assert (drain.output, drain.errors) == (
        ["new associations are refused; 1 association open"],
        ["1 association open: hospital 1"],
    )
    refused = bed.connect()
    refused.send(request())
    assert refused.receive_pdu() == DRAINING
    assert {worker["state"] for worker in bed.status()["workers"]} == {"draining"}
    assert bed.gateway.metric("workers", state="draining") == bed.gateway.metric("workers") > 0
    echo(wire)
    assert drain.alive
    release(wire)
    until(lambda: not drain.alive, "nothing is open")
    assert drain.end() == 0
    assert drain.output[-1] == "no association is open"
    assert bed.gateway.child.alive


def test_stop_waits_for_the_end(bed: Bed, capsys: Capture) -> None:
    wire, _ = bed.associate()
    stop = bed.start("stop", "--wait")
    until(lambda: stop.errors, "it says what is open")
    assert stop.alive
    release(wire)
    until(lambda: not stop.alive, "it has ended")
    assert stop.end() == 0
    assert stop.output == ["stopping; 1 association open", "the gateway has ended"]
    assert bed.main("status") == 3
    assert "is a gateway running" in capsys.readouterr().err
