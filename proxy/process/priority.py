"""Priorities of the processes: the supervisor comes before its workers.

On a busy machine the supervisor keeps answering scrapes, probes and operators. On OOM the kernel should kill a worker,
which is restarted, not the supervisor, whose end is the end of the gateway.
"""

import contextlib
import os
from pathlib import Path

_NICER = 5  # by how much the niceness (setpriority(2)) of a worker exceeds the supervisor's
_WORSE = 200  # of 1000: by how much the OOM score (proc(5), oom_score_adj) of a worker exceeds the supervisor's


def raise_priority() -> int:
    """Raise the priority of this process if that is permitted (RLIMIT_NICE, CAP_SYS_NICE). Return the old niceness."""
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness - _NICER)
    return niceness


def lower_priority(niceness: int) -> None:
    """Give this worker the niceness that the supervisor had at first, and raise its OOM score."""
    # A worker inherits the raised priority and steps back by itself. The supervisor must not step back while it starts
    # one: to raise itself again, it would need the privilege again.
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    score = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError):  # no /proc, or a container that forbids it
        score.write_text(str(min(1000, int(score.read_text()) + _WORSE)))
