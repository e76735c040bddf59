"""The time something took, without the time that other processes of the machine took from it."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path


class Stopwatch:
    """Runs from its making. `pids`: the processes that the time is spent in, beside this one."""

    def __init__(self, pids: Iterable[int] = ()) -> None:
        self._pids = (os.getpid(), *pids)
        self._lost = self._waited()
        self._began = time.monotonic()

    def seconds(self) -> float:
        """The time since then, less `lost`. What sleeps, or waits for a timer or a peer, counts in full."""
        return time.monotonic() - self._began - self.lost()

    def lost(self) -> float:
        """Seconds for which their threads could have run and had no core. Two that wait together count twice."""
        return max(0.0, self._waited() - self._lost)

    def _waited(self) -> float:
        """Run delay: the second field, in ns, of /proc/PID/task/TID/schedstat; 0 where the kernel keeps none."""
        found = 0
        for pid in self._pids:
            try:
                threads = list(Path(f"/proc/{pid}/task").glob("*/schedstat"))
            except OSError:  # the process ended between the two reads
                continue
            for thread in threads:
                try:
                    found += int(thread.read_text().split()[1])
                except (OSError, IndexError):
                    continue  # ended meanwhile
        return found / 1e9


def least(measure: Callable[[], float], limit: float, attempts: int = 20) -> float:
    """The least of several measurements, until one is below the limit: a shared machine makes figures larger only."""
    found = measure()
    while found >= limit and (attempts := attempts - 1):
        found = min(found, measure())
    return found
