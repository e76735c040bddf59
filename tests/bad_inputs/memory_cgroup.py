"""A memory cgroup for one test, of either version, if the machine permits to make one."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path("/sys/fs/cgroup")
#: Where its groups are, and the names of the files for the limit and for swap. Of version 2 and of version 1.
_VERSIONS = [(_ROOT, "memory.max", "memory.swap.max"), (_ROOT / "memory", "memory.limit_in_bytes", "")]


class MemoryCgroup:
    """Processes whose memory is limited together."""

    def __init__(self, path: Path, limit: str, swap: str) -> None:
        self.path = path
        self._limit = path / limit
        if swap and (path / swap).exists():
            (path / swap).write_text("0")

    def limit(self, size: int) -> None:
        """Limit the memory of all processes (bytes); pages they hold already count when they are touched again."""
        self._limit.write_text(str(size))

    def add(self, pid: int) -> None:
        """Move a process here; its later children start here."""
        (self.path / "cgroup.procs").write_text(str(pid))


@contextlib.contextmanager
def memory_cgroup() -> Iterator[MemoryCgroup]:
    """While the body runs; its processes must have ended by then. Skips the test where none can be made."""
    for root, limit, swap in _VERSIONS:
        path = root / f"dicomgate-test-{os.getpid()}"
        try:
            path.mkdir()
        except OSError:
            continue
        try:
            if (path / limit).exists():
                yield MemoryCgroup(path, limit, swap)
                return
        finally:
            path.rmdir()
    pytest.skip("needs root and a memory controller of cgroups")
