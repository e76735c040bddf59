"""The servers of upstreams that fail or are down, in memory that all workers of all generations share.

So the first worker that cannot connect to a server spares all others the same timeout, and a health check in the
supervisor reaches every worker without a message. The methods that run for each association first look for the row
without the lock: most servers have none, and the lock costs two system calls. Under the lock they look again, because
another process may have erased the row in between.
"""

import math
from collections.abc import Iterable

from proxy.config.values import Server, Upstream
from proxy.shared.columns import Columns
from proxy.shared.table import PROBES_AT, SERVER_STATES_AT, SharedTable, key_of
from proxy.upstream.pool import FIRST_PAUSE, pause

#: Servers that can fail at once. A further one has no row and is dialled as if it did not fail.
_ROWS = 256


class ServerStates:
    """The servers that fail or are down, in memory that the processes share. A server without a row is up.

    Times are those of the monotonic clock, which all processes share.
    """

    def __init__(self, table: SharedTable) -> None:
        self._lock = table.lock
        self._rows = rows = Columns(table.map_extra(), SERVER_STATES_AT, _ROWS, limit=PROBES_AT)
        self._find = rows.find
        self._until, self._since = rows.doubles(), rows.doubles()
        self._failures, self._down = rows.counts(), rows.flags()

    def failing(self, key: bytes) -> bool:
        """Return whether the server is down, or the last attempt to connect to it failed."""
        return self._find(key) is not None

    def down(self, key: bytes) -> bool:
        """Return whether the health check of the server has found it down."""
        row = self._find(key)
        return row is not None and bool(self._down[row])

    def failures(self, key: bytes) -> int:
        """Return the number of attempts to connect that have failed in a row."""
        row = self._find(key)
        return 0 if row is None else self._failures[row]

    def until(self, key: bytes, *, all_down: bool = False) -> float:
        """Return the time from which the server may be tried again; in the past if it does not fail.

        `all_down`: no server of its upstream is up, so that each is tried every second.
        """
        row = self._find(key)
        if row is None:
            return 0.0
        # Also for a server that a health check found down: the alternative is to refuse everything.
        if all_down:
            return min(self._until[row], self._since[row] + FIRST_PAUSE)
        return math.inf if self._down[row] else self._until[row]

    def admit(self, key: bytes, now: float, lease: float, *, all_down: bool = False) -> bool:
        """Return whether this process may dial now. If the server fails, no other process may for `lease` seconds then.

        One process tries at a time: all workers together would flood a server that is just starting. Under `all_down`
        the next process may try after one second.
        """
        if self._find(key) is None:
            return True
        with self._lock:
            row = self._find(key)
            if row is None:
                return True
            if self.until(key, all_down=all_down) > now:
                return False
            self._since[row] = now
            self._until[row] = now + lease
            return True

    def abandoned(self, key: bytes, now: float) -> None:
        """Record that a dial was given up for no fault of the server: any process may try it again."""
        with self._lock:
            row = self._find(key)
            if row is not None:
                self._until[row] = now

    def failed(self, key: bytes, began: float, now: float, *, alone: bool) -> bool:
        """Record that a dial that began at `began` has failed; return whether it is the first failure."""
        with self._lock:
            row = self._find(key)
            first = row is None
            if row is None:
                row = self._rows.claim()
                if row is None:
                    return False
            elif began < self._since[row] and not alone:
                # This dial was under way when another one failed. Both met the same fault: count it once, or a hundred
                # concurrent dials would lengthen the pause to its maximum.
                return False
            self._failures[row] = min(self._failures[row] + 1, 1 << 16)  # well below the 4 bytes of the column
            self._since[row] = now
            self._until[row] = now + pause(self._failures[row], alone=alone)
            if first:
                self._rows.publish(row, key)  # after the values: readers take no lock
            return first

    def reached(self, key: bytes, before: float = math.inf) -> bool:
        """Record that a dial has succeeded: forget failures older than `before`. Return whether the server comes up."""
        if self._find(key) is None:
            return False
        with self._lock:
            row = self._find(key)
            if row is None or self._since[row] > before:
                return False
            self._failures[row] = 0
            if self._down[row]:  # a TCP connection proves less than the health check that found the server down
                return False
            self._rows.erase(row)
            return True

    def checked(self, key: bytes, *, down: bool) -> bool:
        """Record the verdict of a health check, or of an accepted association. Return whether it changes the state.

        For a server that comes up, its failures are forgotten too.
        """
        if not down and self._find(key) is None:
            return False
        with self._lock:
            row = self._find(key)
            if not down:
                if row is None or not self._down[row]:
                    return False
                self._rows.erase(row)
                return True
            new = row is None
            if row is None:
                row = self._rows.claim()
                if row is None:
                    return False
            elif self._down[row]:
                return False
            self._down[row] = 1
            if new:
                self._rows.publish(row, key)
            return True

    def keep_only(self, upstreams: Iterable[Upstream]) -> None:
        """Forget the servers that `upstreams` do not contain. Nothing else would free their rows."""
        named = {server_key(upstream, server) for upstream in upstreams for server in upstream.servers}
        with self._lock:
            for row, key in self._rows.used():
                if key not in named:
                    self._rows.erase(row)


def server_key(upstream: Upstream, server: Server) -> bytes:
    """Return the key of a server, the same in all processes and after a reload."""
    return key_of_server(upstream.name, server.label)


def key_of_server(upstream: str, label: str) -> bytes:
    """Return the key of a server by the name of its upstream and its `host:port`."""
    return key_of("server", upstream, label)
