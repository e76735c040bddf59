"""The demo's gateway: `dicomgate run` as a process of its own, its log in a file."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

_START = 20.0  # seconds until it must be ready
_STOP = 10.0
_RECORD = 5.0  # the log is written behind the traffic
_POLL = 0.02
_SHOWN = 5  # lines of its log, where it failed


class GatewayFailed(Exception):
    """It did not start, or ended by itself; the text has the end of its log."""


class GatewayProcess:
    """A running gateway."""

    def __init__(self, config: Path, log: Path, admin: int) -> None:
        """Starts it and waits until it is ready. Raises GatewayFailed, OSError."""
        self._log = log
        self._admin = admin
        with open(log, "wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "proxy.cli", "run", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise GatewayFailed(f"the gateway did not start:\n{self._last_lines()}")
            time.sleep(_POLL)

    def _ready(self) -> bool:
        try:
            return bool(self.page("/readyz"))
        except OSError:
            return False

    def page(self, path: str) -> str:
        """A page of the admin address. Raises OSError."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text

    def record_of(self, calling: str) -> dict[str, Any]:
        """The first access record of a calling AE title. Raises GatewayFailed where none is written."""
        deadline = time.monotonic() + _RECORD
        while time.monotonic() < deadline:
            for line in self._log.read_text(errors="replace").splitlines():
                record: dict[str, Any] = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
                if record.get("calling_aet") == calling:
                    return record
            time.sleep(_POLL)
        raise GatewayFailed(f"no access record of {calling}")

    def wait(self, seconds: float) -> None:
        """Let it run. Raises GatewayFailed where it ends."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise GatewayFailed(f"the gateway ended with {self._process.returncode}:\n{self._last_lines()}")

    def _last_lines(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_SHOWN:])

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not end."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
