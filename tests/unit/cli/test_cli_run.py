"""`dicomgate run`: an error that prevents the start names the key that causes it."""

import os
from pathlib import Path

import pytest

import proxy.process.start
from proxy.cli.__main__ import main
from proxy.config.values import Config
from tests.support.configs import PLAIN, write
from tests.support.ports import free_port

Capture = pytest.CaptureFixture[str]


def test_a_log_that_cannot_be_written_is_named_with_its_key(tmp_path: Path, capfd: Capture) -> None:
    config = PLAIN.replace("11112", str(free_port()))
    path = write(tmp_path, config + "access_log: {path: /nonexistent/access.log}\nadmin: null\n")
    assert main(["run", "--config", str(path)]) == 2
    assert "dicomgate: access_log.path: /nonexistent/access.log: No such file or directory\n" in capfd.readouterr().err


def test_no_session_keys_are_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[str | None]()

    def run(config: Config, files: list[str]) -> int:
        seen.append(os.environ.get("SSLKEYLOGFILE"))
        return 0

    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    monkeypatch.setattr(proxy.process.start, "run", run)
    assert main(["run", "--config", str(write(tmp_path, PLAIN))]) == 0
    assert seen == [None]
    assert not (tmp_path / "keys.log").exists()
