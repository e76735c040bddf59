"""The supervisor comes before its workers: scrapes, probes and operators are answered whatever the workers have to do,
and where memory runs out a worker is ended, which is replaced.
"""

import contextlib
import os
from pathlib import Path

_NICER = 5  # how much nicer (setpriority(2)) a worker is
_WORSE = 200  # of 1000, how much sooner (proc(5), oom_score_adj) it is ended


def step_forward() -> int:
    """Raise the priority of this process where that is allowed (RLIMIT_NICE, CAP_SYS_NICE); its niceness so far."""
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness - _NICER)
    return niceness


def stand_back(niceness: int) -> None:
    """Be a worker: with the niceness that the supervisor had at first."""
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    score = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError):  # no /proc here
        score.write_text(str(min(1000, int(score.read_text()) + _WORSE)))
