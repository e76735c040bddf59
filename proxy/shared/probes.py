"""What all workers of all generations know of loops: the question that is open, and what was found of late.

A worker that suspects a loop sends a request of its own, by an Implementation Version Name that nobody else knows. If
any worker reads that name, the way that was asked leads back here.
"""

import enum

from proxy.shared.columns import KEY, Columns
from proxy.shared.table import PROBES_AT, SharedTable

#: Rows, and so ways that something is known of at once. With one question at a time and a pause behind each, those that
#: are loops fit; of the others the oldest is forgotten.
_ROWS = 64
_PAUSE = 0.5  # seconds between two questions of the whole gateway
_LOOP_LASTS = 30.0  # seconds until a loop is found anew: somebody may have mended it elsewhere
_ANSWER_LASTS = 60.0  # seconds for which a way that is none is not asked again
_DOUBLE = 8  # bytes


class LoopFinding(enum.IntEnum):
    """What is known of a way."""

    ASKED = 1
    NO_LOOP = 2
    LOOP = 3


class Probes:
    """Ways to upstreams that were suspected, in the memory behind the shared counts.

    A way is known by a key, a question by a name, of 16 bytes both: no Implementation Version Name is longer (PS3.7
    Table D.3-3). Times are those of the monotonic clock. Written under the table's lock, a key
    last, so that a process that is killed meanwhile leaves no half row.
    """

    def __init__(self, table: SharedTable) -> None:
        self._lock = table.lock
        memory = table.map_extra()
        times = memoryview(memory)[PROBES_AT : PROBES_AT + 2 * _DOUBLE]
        # Until when any row says something, and until when no question may be asked.
        self._newest_ends, self._busy = times[:_DOUBLE].cast("d"), times[_DOUBLE:].cast("d")
        self._rows = rows = Columns(memory, PROBES_AT + 2 * _DOUBLE, _ROWS)
        self._until, self._findings = rows.doubles(), rows.flags()
        # A second index of the same rows.
        self._names = Columns(memory, rows.end, _ROWS)

    def any(self, now: float) -> bool:
        """Whether anything is known at all. What is cheap enough to ask each time."""
        return self._newest_ends[0] > now

    def finding(self, key: bytes, now: float) -> LoopFinding | None:
        """What is known of a way."""
        row = self._rows.find(key)
        return None if row is None or self._until[row] <= now else LoopFinding(self._findings[row])

    def begin(self, key: bytes, name: bytes, now: float, lease: float) -> bool:
        """Whether this process may ask by `name`, within `lease` seconds. No other one may meanwhile."""
        with self._lock:
            if self._busy[0] > now or self.finding(key, now) is not None:
                return False
            row = self._claim(key, now)
            if row is None:
                return False
            self._names.publish(row, name.ljust(KEY))
            self._set(row, LoopFinding.ASKED, now + lease)
            self._busy[0] = now + lease
            self._rows.publish(row, key)
            return True

    def seen_again(self, name: bytes, now: float) -> bool:
        """A request has come by this name; whether it is one of ours. However late it is, it has proved the loop."""
        with self._lock:
            row = self._names.find(name.ljust(KEY))
            if row is None or self._until[row] <= now:
                return False
            if self._findings[row] != LoopFinding.LOOP:
                self._set(row, LoopFinding.LOOP, now + _LOOP_LASTS)
            return True

    def end(self, key: bytes, now: float, *, over: bool) -> LoopFinding | None:
        """What was found by the question that `begin` allowed. `over`: it was not given up before."""
        with self._lock:
            self._busy[0] = now + _PAUSE
            row = self._rows.find(key)
            if row is None:
                return None
            if self._findings[row] == LoopFinding.ASKED:
                if not over:
                    self._until[row] = now
                    return None
                self._set(row, LoopFinding.NO_LOOP, now + _ANSWER_LASTS)
            return LoopFinding(self._findings[row])

    def found(self, key: bytes, now: float) -> bool:
        """A loop was seen without a question; whether that is news."""
        if self.finding(key, now) is not None:
            return False
        with self._lock:
            row = None if self.finding(key, now) is not None else self._claim(key, now)
            if row is None:
                return False
            self._set(row, LoopFinding.LOOP, now + _LOOP_LASTS)
            self._rows.publish(row, key)
            return True

    def _set(self, row: int, finding: LoopFinding, until: float) -> None:
        self._findings[row] = finding
        self._until[row] = until
        self._newest_ends[0] = max(self._newest_ends[0], until)

    def _claim(self, key: bytes, now: float) -> int | None:
        """The old row of this key, or one that says nothing any more, or the oldest that says no; emptied."""
        row = self._rows.find(key)
        if row is None:
            until, findings = self._until, self._findings
            row = min(
                range(_ROWS), key=lambda one: (until[one] > now, findings[one] != LoopFinding.NO_LOOP, until[one])
            )
            if until[row] > now and findings[row] != LoopFinding.NO_LOOP:
                return None
        self._rows.erase(row)
        self._names.erase(row)
        return row
