"""The verbs that ask a running gateway: their questions, their output, and how they find its control socket."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.cli import top, waiting
from proxy.cli.__main__ import main
from proxy.cli.asking import find_gateway
from proxy.cli.output import CommandError, duration
from proxy.config.values import DEFAULT_CONTROL

Capture = pytest.CaptureFixture[str]


class FakeGateway:
    """Answers each request with the next of `answers`, and ends after the last one. `requests`: those received."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[dict[str, Any]] = []
        self.answers: list[Any] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.answers.clear()
        with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):  # it may have ended by itself
            sock.connect(str(self.path))
            sock.send(b"\n")
        self._thread.join(5)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        with self._socket:
            while True:
                connection, _ = self._socket.accept()
                with connection, connection.makefile("rb") as stream:
                    line = stream.readline()
                    if not line:
                        continue  # a client that only tests whether the gateway listens
                    if not self.answers:
                        return
                    self.requests.append(json.loads(line))
                    answer = self.answers.pop(0)
                    connection.sendall(answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n")
                if not self.answers:
                    return


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGateway]:
    """A gateway on the control socket that the environment names."""
    fake = FakeGateway(tmp_path / "control.sock")
    monkeypatch.setenv("DICOMGATE_CONTROL", str(fake.path))
    monkeypatch.setattr(waiting, "INTERVAL", 0)
    monkeypatch.setattr(top, "INTERVAL", 0)
    yield fake
    fake.close()


def association(id: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": id,
        "tenant": "hospital",
        "peer": "ct",
        "calling_aet": "CT1",
        "called_aet": "MAINPACS",
        "client": {"ip": "10.20.1.11", "port": 40000},
        "upstream": "pacs",
        "server": "10.20.0.5:104",
        "age": 65.2,
        "bytes_in": 1_000_000,
        "bytes_out": 500_000,
        "stored": 3,
        "worker": 11,
        "generation": 2,
        **changes,
    }


def status(*associations: dict[str, Any], time: float = 1000.0, **changes: Any) -> dict[str, Any]:
    return {
        "ok": True,
        "started": 0.0,
        "time": time,
        "draining": False,
        "config": "/etc/dicomgate/config.yaml",
        "listeners": ["dicom-tls"],
        "workers": [
            {"pid": 10, "generation": 1, "state": "draining", "associations": 0},
            {"pid": 11, "generation": 2, "state": "running", "associations": len(associations)},
        ],
        "upstreams": [],
        "associations": list(associations),
        **changes,
    }


def server(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "server": name,
        "weight": 1,
        "backup": False,
        "state": "up",
        "failures": 0,
        "retry_in": None,
        "associations": 0,
        "check": None,
        **changes,
    }


# --- reload, drain, stop ----------------------------------------------------------------------------------------------


def test_reload_prints_the_answer_of_the_gateway(gateway: FakeGateway, capsys: Capture) -> None:
    gateway.answers = [{"ok": True, "message": "generation 2 serves config.yaml"}]
    assert main(["reload"]) == 0
    assert gateway.requests == [{"verb": "reload"}]
    assert capsys.readouterr().out == "generation 2 serves config.yaml\n"


def test_a_reload_that_fails_exits_1_with_the_findings(gateway: FakeGateway, capsys: Capture) -> None:
    gateway.answers = [{"ok": False, "message": "config.yaml:15:12: tenants.a.peers.0.aet: longer than \x1b[1m"}]
    assert main(["reload"]) == 1
    said = "config.yaml:15:12: tenants.a.peers.0.aet: longer than \\x1b[1m (the previous configuration stays active)"
    assert capsys.readouterr() == ("", f"dicomgate: {said}\n")


@pytest.mark.parametrize("verb", ["drain", "stop"])
def test_without_wait_one_line_is_printed(gateway: FakeGateway, capsys: Capture, verb: str) -> None:
    gateway.answers = [{"ok": True, "message": "", "associations": 2}]
    assert main([verb]) == 0
    assert gateway.requests == [{"verb": verb}]
    assert capsys.readouterr().out.endswith("; 2 associations open\n")


def test_drain_waits_until_nothing_is_open(gateway: FakeGateway, capsys: Capture) -> None:
    two = status(association("a-1"), association("a-2", tenant="clinic"))
    gateway.answers = [{"ok": True, "associations": 2}, two, two, status(association("a-1")), status()]
    assert main(["drain", "--wait"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "new associations are refused; 2 associations open\nno association is open\n"
    assert captured.err == "2 associations open: clinic 1, hospital 1\n1 association open: hospital 1\n"


def test_drain_does_not_take_a_lost_gateway_for_an_empty_one(gateway: FakeGateway) -> None:
    gateway.answers = [{"ok": True, "associations": 1}, status(association("a-1"))]
    assert main(["drain", "--wait"]) == 3


def test_stop_waits_until_the_control_socket_is_closed(gateway: FakeGateway, capsys: Capture) -> None:
    gateway.answers = [{"ok": True, "associations": 1}, status(association("a-1")), status()]
    assert main(["stop", "--wait"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "stopping; 1 association open\nthe gateway has ended\n"
    assert captured.err == "1 association open: hospital 1\nno associations open\n"


# --- disconnect -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (["--id", "a-1"], {"id": "a-1"}),
        (["--tenant", "hospital"], {"tenant": "hospital"}),
        (["--tenant", "hospital", "--peer", "ct"], {"tenant": "hospital", "peer": "ct"}),
    ],
)
def test_disconnect_sends_the_chosen_associations(
    gateway: FakeGateway, capsys: Capture, options: list[str], asked: dict[str, str]
) -> None:
    gateway.answers = [{"ok": True, "associations": 3}]
    assert main(["disconnect", *options]) == 0
    assert gateway.requests == [{"verb": "disconnect", **asked}]
    assert capsys.readouterr().out == "3 associations ended\n"


def test_disconnect_of_nothing_exits_1(gateway: FakeGateway, capsys: Capture) -> None:
    gateway.answers = [{"ok": False, "associations": 0}]
    assert main(["disconnect", "--id", "a-9"]) == 1
    assert "--id a-9: no such association is open" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--peer", "ct"],
        ["--id", ""],
        ["--id", "a-1", "--tenant", "hospital"],
        ["--id", "a-1", "--peer", "ct"],
        # A script with an empty variable must not disconnect more than it meant.
        ["--tenant", "hospital", "--peer", ""],
        ["--tenant", "", "--peer", "ct"],
    ],
)
def test_disconnect_without_a_clear_choice_is_a_usage_error(gateway: FakeGateway, options: list[str]) -> None:
    assert main(["disconnect", *options]) == 2
    assert gateway.requests == []


# --- status, top ------------------------------------------------------------------------------------------------------


def test_status_shows_generations_and_tenants(gateway: FakeGateway, capsys: Capture) -> None:
    gateway.answers = [status(association("a-1"), association("a-2", tenant="clinic"), started=-3 * 86_400.0)]
    assert main(["status"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "/etc/dicomgate/config.yaml  serving, up 3 d 00 h",
        "  listeners     dicom-tls",
        "  worker        pid 11, generation 2, running, 2 associations",
        "  worker        pid 10, generation 1 (old), draining, no associations",
        "  associations  2",
        "    clinic    1",
        "    hospital  1",
    ]


def test_status_shows_each_server_and_its_last_check(gateway: FakeGateway, capsys: Capture) -> None:
    hung = {"type": "echo", "time": 996.0, "outcome": "timeout", "detail": "no answer within 3 s (associate)"}
    servers = [
        server("pacs-1:104", associations=1, check={**hung, "outcome": "ok", "detail": "it answers"}),
        server("pacs-2:104", state="down", check=hung),
        server("pacs-3:104", state="failing", failures=3, retry_in=4.0, backup=True),
    ]
    gateway.answers = [status(upstreams=[{"name": "pacs", "balance": "first_up", "servers": servers}])]
    assert main(["status"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "upstream" in line] == [
        "  upstream      pacs, pacs-1:104, up, 1 association; echo check 4 s ago: it answers",
        "  upstream      pacs, pacs-2:104, down, no associations; echo check 4 s ago: no answer within 3 s (associate)",
        "  upstream      pacs, pacs-3:104 (backup), failing, 3 failed connections in a row, tried again in 4 s, "
        "no associations",
    ]


def test_status_says_that_it_drains(gateway: FakeGateway, capsys: Capture) -> None:
    gateway.answers = [status(draining=True)]
    assert main(["status"]) == 0
    assert "draining: new associations are refused" in capsys.readouterr().out


def test_status_as_json_is_the_answer(gateway: FakeGateway, capsys: Capture) -> None:
    answer = status(association("a-1", calling_aet="\x1b\u202e"))
    gateway.answers = [answer]
    assert main(["status", "--format", "json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out) == answer
    assert out.isascii() and "\x1b" not in out


def test_top_shows_the_busiest_first_and_escapes_titles(gateway: FakeGateway, capsys: Capture) -> None:
    gateway.answers = [
        status(association("a-1"), association("a-2")),
        status(
            association("a-1", age=4000.0, calling_aet="[red]\x1b[1m"),
            association("a-2", bytes_in=5_000_000, client={"ip": "2001:db8::1", "port": 7}),
            association("a-3", age=None, bytes_in=None, bytes_out=None, peer=None, server=None),
            time=1002.0,
        ),
    ]
    assert main(["top", "--once"]) == 0
    headline, columns, *rows = (" ".join(line.split()) for line in capsys.readouterr().out.splitlines())
    assert headline == "3 associations open; 2 workers"
    assert columns == "id tenant peer AE titles age MB MB/s C-STOREs client server"
    assert rows == [
        "a-2 hospital ct CT1 > MAINPACS 1 min 05 s 5.5 2.0 3 [2001:db8::1]:7 10.20.0.5:104",
        "a-1 hospital ct [red]\\x1b[1m > MAINPACS 1 h 06 min 1.5 0.0 3 10.20.1.11:40000 10.20.0.5:104",
        "a-3 hospital - CT1 > MAINPACS - - - 3 10.20.1.11:40000 -",
    ]


def test_top_shows_no_rate_if_the_clock_was_set_back(gateway: FakeGateway, capsys: Capture) -> None:
    gateway.answers = [status(association("a-1")), status(association("a-1"), time=5.0)]
    assert main(["top", "--once"]) == 0
    assert "1.5     -" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0 s"), (59.9, "59 s"), (60, "1 min 00 s"), (3_660, "1 h 01 min"), (90_000, "1 d 01 h")],
)
def test_durations_have_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


# --- where the gateway is ---------------------------------------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and no variable that names a gateway."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DICOMGATE_CONTROL", raising=False)
    monkeypatch.delenv("DICOMGATE_CONFIG", raising=False)
    return tmp_path


def test_options_win_over_variables_and_variables_over_the_default(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (nowhere / "a.yaml").write_text("control: a.sock\n")
    (nowhere / "b.yaml").write_text("control: /run/${NAME}.sock\n")
    assert find_gateway(None, None).path == DEFAULT_CONTROL
    monkeypatch.setenv("DICOMGATE_CONFIG", "b.yaml")
    monkeypatch.setenv("NAME", "b")
    assert find_gateway(None, None).path == "/run/b.sock"
    monkeypatch.setenv("DICOMGATE_CONTROL", "c.sock")
    assert find_gateway(None, None).path == "c.sock"
    assert find_gateway(None, str(nowhere / "a.yaml")).path == str(nowhere / "a.sock")
    assert find_gateway("d.sock", "a.yaml").path == "d.sock"


def test_only_the_key_control_must_be_correct(nowhere: Path) -> None:
    (nowhere / "config.yaml").write_text("control: g.sock\nlisteners: half a configuration\n")
    assert find_gateway(None, "config.yaml").path == "g.sock"
    (nowhere / "config.yaml").write_text("version: 1\n")
    assert find_gateway(None, "config.yaml").path == DEFAULT_CONTROL


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("a: [", "cannot be read"),
        ("control: null\n", "config.yaml:1:10: control: null turns the control socket off"),
        ("control: [a]\n", "config.yaml:1:10: control: not a path"),
    ],
)
def test_a_configuration_that_names_no_socket_is_a_usage_error(nowhere: Path, text: str | None, message: str) -> None:
    if text is not None:
        (nowhere / "config.yaml").write_text(text)
    with pytest.raises(CommandError, match=message) as caught:
        find_gateway(None, "config.yaml")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("verb", ["reload", "drain", "stop", "status", "top"])
def test_no_gateway_is_exit_code_3(nowhere: Path, capsys: Capture, verb: str) -> None:
    assert main([verb, "--control", "no.sock"]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no.sock: No such file or directory: is a gateway running" in captured.err


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\n", b""])
def test_a_program_that_is_no_gateway_is_exit_code_3(gateway: FakeGateway, answer: bytes) -> None:
    gateway.answers = [answer]
    assert main(["status"]) == 3
