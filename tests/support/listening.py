"""Starting real servers for tests, and waiting until somebody listens without connecting."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


def need(program: str) -> None:
    """Skips the test where the program is missing; with DICOMGATE_REQUIRE_PEERS=1 that is a failure."""
    if shutil.which(program) is None:
        (pytest.fail if os.environ.get("DICOMGATE_REQUIRE_PEERS") == "1" else pytest.skip)(
            f"{program} is not installed"
        )


def is_listening(port: int) -> bool:
    """Read from the kernel's table: a probe connection would be an association to a single-process SCP."""
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            local, _, state = line.split()[1:4]
            if local.endswith(wanted) and state == "0A":
                return True
    return False


@contextlib.contextmanager
def server(*command: str | Path, port: int, cwd: Path | None = None, timeout: float = 20) -> Iterator[int]:
    """A server process that listens on `port` while the body runs; skips the test where the program is missing."""
    need(str(command[0]))
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=cwd
    )
    try:
        deadline = time.monotonic() + timeout
        while not is_listening(port):
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{command[0]} does not listen on {port}"
            time.sleep(0.005)
        yield port
    finally:
        process.terminate()
        process.wait(timeout)
