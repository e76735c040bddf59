"""`dicomgate init`: its configuration loads without findings and admits no other machine; it overwrites nothing."""

import ipaddress
import stat
from pathlib import Path

import pytest

from proxy.cli.__main__ import main
from proxy.config.load import load


def init(folder: Path, *options: str) -> int:
    return main(["init", "--pacs", "10.20.0.5:104", "--aet", "MAINPACS", *options, str(folder)])


def test_the_configuration_loads_and_admits_this_machine_alone(tmp_path: Path, capsys) -> None:
    assert init(tmp_path / "gate", "--dns", "Gate.example.org", "--ip", "10.20.0.9") == 0
    captured = capsys.readouterr()
    assert "(certificate for gate.example.org, localhost, 10.20.0.9, 127.0.0.1)" in captured.out
    assert f"dicomgate check --config {tmp_path}/gate/config.yaml\n" in captured.err
    assert "dicomgate echo 127.0.0.1:2762 --tls --ca " in captured.err
    loaded = load(tmp_path / "gate/config.yaml", environ={})
    assert [str(finding) for finding in loaded.findings if finding.severity != "info"] == []
    assert loaded.config is not None
    tenant = loaded.config.tenants["hospital"]
    assert tenant.called_aets == {"MAINPACS"}
    [peer] = tenant.peers
    assert (peer.aet, peer.source) == (("DICOMGATE",), (ipaddress.ip_network("127.0.0.1/32"),))
    [server] = loaded.config.upstreams["pacs"].servers
    assert (server.host, server.port) == ("10.20.0.5", 104)
    assert stat.S_IMODE((tmp_path / "gate/pki/issued/gateway/key.pem").stat().st_mode) == 0o600


@pytest.mark.parametrize("title", ["WS 1", "NULL", "0123", "A: b", 'A"#', "${X}"])
def test_any_title_is_quoted_correctly(tmp_path: Path, title: str) -> None:
    assert main(["init", "--pacs", "[2001:db8::5]:104", "--aet", title, str(tmp_path / "gate")]) == 0
    loaded = load(tmp_path / "gate/config.yaml", environ={})
    assert loaded.config is not None, [str(finding) for finding in loaded.findings]
    assert loaded.config.tenants["hospital"].called_aets == {title}


@pytest.mark.parametrize("name", ["config.yaml", "pki"])
def test_nothing_is_overwritten(tmp_path: Path, capsys, name: str) -> None:
    (tmp_path / name).symlink_to("/nonexistent")
    assert init(tmp_path) == 2
    assert f"{tmp_path / name} exists already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pacs", "pacs", "--aet", "A"], "'pacs' is not HOST:PORT"),
        (["--pacs", "pacs:0", "--aet", "A"], "port '0' is not in 1..65535"),
        (["--pacs", "::1:104", "--aet", "A"], "written in brackets"),
        (["--pacs", "127.0.0.1:2762", "--aet", "A"], "the gateway itself will listen on port 2762"),
        (["--pacs", "localhost:2762", "--aet", "A"], "the gateway itself will listen on port 2762"),
        (["--pacs", "pacs:104", "--aet", "A" * 17], "1 to 16 printable ASCII characters"),
        (["--pacs", "pacs:104", "--aet", "A\\B"], "without backslash"),
        (["--pacs", "pacs:104", "--aet", "A*"], "not a pattern"),
        (["--pacs", "pacs:104", "--aet", "A", "--dns", "a b"], "'a b' is not a DNS name"),
        (["--pacs", "pacs:104"], "--aet"),
    ],
)
def test_mistakes_exit_2_and_write_nothing(tmp_path: Path, capsys, arguments: list[str], words: str) -> None:
    assert main(["init", *arguments, str(tmp_path / "gate")]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []
