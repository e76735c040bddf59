"""Child processes of tests: started with a clean environment, their output kept, ended by their own id."""

import atexit
import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 20.0  # seconds until a wait is a failure: two cores may be shared with much else
_LEFT = 3.0  # seconds for a process to end that a test has left running
_LAST_WORDS = 1.0  # seconds: they are in the pipes already, unless a child of the process keeps these open


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a service: no proxies, no DICOMGATE_*, no TCP tuning of DCMTK."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONWARNINGS": "error", **(extra or {})}


def until(condition: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
    """Wait for a true value of `condition` and return it; fail the test if there is none in time."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        time.sleep(0.005)
    return value


def _rss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)  # a zombie


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Child:
    """A process whose standard output and error are read, line by line, by a thread each."""

    def __init__(
        self, command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.command = [str(part) for part in command]
        self.process = subprocess.Popen(
            self.command,
            cwd=cwd,
            env=clean_environment() if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        _running.add(self)
        self.output: list[str] = []
        self.errors: list[str] = []
        self.changed = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.output), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: object, lines: list[str]) -> None:
        for line in stream:  # type: ignore[attr-defined]
            with self.changed:
                lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def text(self) -> str:
        """All output so far. If the process has ended, up to its last line."""
        if not self.alive:
            self.read_to_the_end(_LAST_WORDS)
        return "\n".join((*self.output, *self.errors))

    def read_to_the_end(self, timeout: float) -> None:
        """Read the rest of an ended process's output, for at most `timeout`: a surviving child keeps the pipes open."""
        for reader in self._readers:
            reader.join(timeout)

    def family(self) -> list[int]:
        """The process and its present children."""
        return [self.pid, *map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split())]

    def rss_kib(self) -> int:
        """Resident memory of the process and its children now."""
        return sum(self._of_each(_rss_kib))

    def cpu_seconds(self) -> float:
        """CPU time used so far by the process and its children, user and system."""
        return sum(self._of_each(_cpu_seconds))

    def descriptors(self) -> int:
        """Open file descriptors of the process and its children."""
        return sum(self.descriptors_of_each())

    def descriptors_of_each(self) -> list[int]:
        """Open file descriptors of each of these processes."""
        return self._of_each(lambda pid: len(os.listdir(f"/proc/{pid}/fd")))

    def _of_each(self, read: Callable[[int], T]) -> list[T]:
        """The value of each process of the family; one that ends meanwhile is left out."""
        assert self.alive, f"{self.command[0]} ended with {self.process.returncode}: {self.text}"
        found = []
        for pid in self.family():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found.append(read(pid))
        return found

    def end(self, timeout: float = PATIENCE) -> int:
        """SIGTERM, SIGKILL if that does not help; its exit code."""
        if self.alive:
            self.process.terminate()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout)
        self.read_to_the_end(timeout)
        for reader, stream in zip(self._readers, (self.process.stdout, self.process.stderr), strict=True):
            if stream is not None and not reader.is_alive():  # closing would wait for the reader
                stream.close()
        _running.discard(self)
        return self.process.returncode


_running: set[Child] = set()


@atexit.register
def _end_all() -> None:
    """End the processes of tests that failed before they could do it; a later test is not blamed for them."""
    for child in tuple(_running):
        child.end(_LEFT)
