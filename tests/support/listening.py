"""Starting real servers for tests, and waiting until somebody listens without connecting."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import PATIENCE, Child, until

STARTED = 3 * PATIENCE  # seconds until a server listens: Orthanc takes some alone, and others start beside it


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
def server(*command: str | Path, port: int, cwd: Path | None = None) -> Iterator[int]:
    """A server process that listens on `port` while the body runs; skips the test where the program is missing."""
    need(str(command[0]))
    child = Child(command, cwd=cwd)
    try:
        wait_listening(child, port)
        yield port
    finally:
        child.end()


def wait_listening(child: Child, *ports: int) -> None:
    """Wait until a process that was just started listens on these; if it ends first, fail with its output."""

    def listens() -> bool:
        assert child.alive, f"{child.command[0]} ended with {child.process.returncode}: {child.text}"
        return all(map(is_listening, ports))

    try:
        until(listens, f"{child.command[0]} listens", STARTED)
    except BaseException:
        child.end()
        raise
