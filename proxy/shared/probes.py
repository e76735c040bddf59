"""Loops that were suspected or found recently, in memory that all workers of all generations share.

A worker that suspects a loop sends a probe: an A-ASSOCIATE-RQ with a random Implementation Version Name. If any worker
receives a request with that name, the probed route leads back to this gateway. A row goes through these states:

    (free) -- begin --> ASKED -- seen_again --> LOOP     for _LOOP_LASTS
                          |----- end, over ---> NO_LOOP  for _ANSWER_LASTS
                          `----- end, not over: expires at once
    (free) -- found --> LOOP                             seen without a probe
"""

import enum

from proxy.shared.columns import KEY, Columns
from proxy.shared.table import PROBES_AT, SharedTable

#: Routes that are known at once. With one probe at a time and a pause after each, at most 60 loops are found within
#: _LOOP_LASTS, and all of them fit. If rows run out, the oldest NO_LOOP is forgotten.
_ROWS = 64
_PAUSE = 0.5  # seconds between two probes of the whole gateway
_LOOP_LASTS = 30.0  # seconds until a loop has to be found again: another system's configuration may have ended it
_ANSWER_LASTS = 60.0  # seconds until a route that is no loop may be probed again
_DOUBLE = 8  # bytes


class LoopFinding(enum.IntEnum):
    """The state of a route."""

    ASKED = 1
    NO_LOOP = 2
    LOOP = 3


class Probes:
    """Routes to upstreams that were suspected of a loop, in the memory after the shared counts.

    A route has a key, a probe has a name, both of 16 bytes: no Implementation Version Name is longer (PS3.7 Table
    D.3-3). Times are those of the monotonic clock, which all processes share.
    """

    def __init__(self, table: SharedTable) -> None:
        self._lock = table.lock
        memory = table.map_extra()
        times = memoryview(memory)[PROBES_AT : PROBES_AT + 2 * _DOUBLE]
        # The time until which any row is valid, and the time until which no probe may be sent.
        self._newest_ends, self._busy = times[:_DOUBLE].cast("d"), times[_DOUBLE:].cast("d")
        self._rows = rows = Columns(memory, PROBES_AT + 2 * _DOUBLE, _ROWS)
        self._until, self._findings = rows.doubles(), rows.flags()
        # A second key of the same rows: the name of the probe.
        self._names = Columns(memory, rows.end, _ROWS)

    def any(self, now: float) -> bool:
        """Return whether any route is known. Cheap enough for each association, which `finding` is not."""
        return self._newest_ends[0] > now

    def finding(self, key: bytes, now: float) -> LoopFinding | None:
        """Return the state of a route, None if it is not known. Takes no lock."""
        row = self._rows.find(key)
        return None if row is None or self._until[row] <= now else LoopFinding(self._findings[row])

    def begin(self, key: bytes, name: bytes, now: float, lease: float) -> bool:
        """Return whether this process may send a probe by `name`. For `lease` seconds no other process may."""
        with self._lock:
            # One probe at a time for the whole gateway: probes are associations that the PACS did not ask for.
            if self._busy[0] > now or self.finding(key, now) is not None:
                return False
            row = self._claim(key, now)
            if row is None:
                return False
            # The lease covers a process that is killed before `end`: then the row expires and probing goes on.
            self._names.publish(row, name.ljust(KEY))
            self._set(row, LoopFinding.ASKED, now + lease)
            self._busy[0] = now + lease
            self._rows.publish(row, key)
            return True

    def seen_again(self, name: bytes, now: float) -> bool:
        """Return whether a request with this name is one of our probes; if so, record the loop.

        That holds for a late probe too: a NO_LOOP that was concluded before it arrived becomes a LOOP.
        """
        with self._lock:
            row = self._names.find(name.ljust(KEY))
            if row is None or self._until[row] <= now:
                return False
            if self._findings[row] != LoopFinding.LOOP:
                self._set(row, LoopFinding.LOOP, now + _LOOP_LASTS)
            return True

    def end(self, key: bytes, now: float, *, over: bool) -> LoopFinding | None:
        """End the probe that `begin` allowed and return its finding.

        `over` False: the probe was given up early, so nothing is known about the route and it may be probed again.
        """
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
        """Record a loop that was seen without a probe. Return True if the route had no finding yet."""
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
        """Return a row for this key, with key and name erased: its own, else an expired one, else the oldest NO_LOOP.

        Return None if every other row holds a LOOP or a probe under way.
        """
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
