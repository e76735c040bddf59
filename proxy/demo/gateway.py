"""The gateway of the demo: `dicomgate run` as a child process, with its log in a file."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

_START = 20.0  # seconds to become ready
_STOP = 10.0  # seconds to end after SIGTERM
_RECORD = 5.0  # seconds for a record to be written: a thread does it after the traffic
_POLL = 0.02  # seconds
_SHOWN = 5  # last lines of the log in an error


class GatewayFailed(Exception):
    """The gateway did not start, or ended by itself. The message contains the last lines of its log."""


class GatewayProcess:
    """A running gateway. `admin`: the port of its admin address on 127.0.0.1."""

    def __init__(self, config: Path, log: Path, admin: int) -> None:
        """Start the gateway and wait until it accepts connections. Raises GatewayFailed, OSError."""
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
            self._wait_until_started()
        except BaseException:
            self.stop()
            raise

    def _wait_until_started(self) -> None:
        # Ask the log, not /readyz: the admin port may belong to the gateway of a second demo, started at the same
        # moment. That gateway is ready, while ours is about to fail because the port is taken.
        deadline = time.monotonic() + _START
        while self._find_record("event", "started") is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise GatewayFailed(f"the gateway did not start:\n{self._last_lines()}")
            time.sleep(_POLL)

    def page(self, path: str) -> str:
        """Return a page of the admin address. Raises OSError."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text

    def record_of(self, calling: str) -> dict[str, Any]:
        """Return the first access record of a calling AE title. Raises GatewayFailed if none is written."""
        deadline = time.monotonic() + _RECORD
        while time.monotonic() < deadline:
            record = self._find_record("calling_aet", calling)
            if record is not None:
                return record
            time.sleep(_POLL)
        raise GatewayFailed(f"no access record of {calling}")

    def _find_record(self, field: str, value: str) -> dict[str, Any] | None:
        """Return the first record of the log in which the field has the value."""
        for line in self._log.read_text(errors="replace").splitlines():
            # Other lines: messages on standard error, and the start of a record that is being written.
            record: dict[str, Any] = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
            if record.get(field) == value:
                return record
        return None

    def wait(self, seconds: float) -> None:
        """Wait for `seconds`. Raises GatewayFailed if the gateway ends meanwhile."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise GatewayFailed(f"the gateway ended with {self._process.returncode}:\n{self._last_lines()}")

    def _last_lines(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_SHOWN:])

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL if the gateway does not end."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
