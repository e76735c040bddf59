"""The configuration of `dicomgate init` runs and answers on the same machine, by the commands that it prints."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from proxy.cli.__main__ import main
from tests.support.listening import server
from tests.support.ports import free_port

pytestmark = pytest.mark.peers


def test_the_three_commands_that_init_prints_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pacs, gate = free_port(), free_port()
    assert main(["init", "--pacs", f"127.0.0.1:{pacs}", "--aet", "MAINPACS", str(tmp_path / "gate")]) == 0
    check, run, echo = (shlex.split(line.split(":", 1)[1])[1:] for line in capsys.readouterr().err.splitlines())

    # The test must not need the ports of a real installation.
    config = tmp_path / "gate" / "config.yaml"
    config.write_text(config.read_text().replace("2762", str(gate)) + "\nadmin: null\n")
    echo = [part.replace("2762", str(gate)) for part in echo]

    assert main(check) == 0
    capsys.readouterr()
    with (
        server("storescp", "--ignore", str(pacs), port=pacs),
        server(sys.executable, "-m", "proxy.cli", *run, port=gate),
    ):
        assert main([*echo, "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["implementation"] == "OFFIS_DCMTK_367"
        assert main([*echo, "--calling", "STRANGER", "--format", "json"]) == 1
        told = json.loads(capsys.readouterr().out)
        assert told["detail"] == "A-ASSOCIATE-RJ 1/1/3 (calling AE title not recognized)"
