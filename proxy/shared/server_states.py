"""The servers of upstreams that fail or are down, as all workers of all generations know them."""

import math
from collections.abc import Iterable

from proxy.config.values import Server, Upstream
from proxy.shared.columns import Columns
from proxy.shared.table import SERVER_STATES_AT, SharedTable, key_of
from proxy.upstream.pool import FIRST_PAUSE, pause

#: Servers that fail at once. One more would be asked as if it did not.
_ROWS = 256


class ServerStates:
    """The servers that fail or are down, in memory that the processes share. A server without a row is up.

    Times are those of the monotonic clock, which all processes share.
    """

    def __init__(self, table: SharedTable) -> None:
        self._lock = table.lock
        self._rows = rows = Columns(table.map_extra(), SERVER_STATES_AT, _ROWS)
        self._find = rows.find
        self._until, self._since = rows.doubles(), rows.doubles()
        self._failures, self._down = rows.counts(), rows.flags()

    def failing(self, key: bytes) -> bool:
        """Whether it is down, or the last attempt to connect to it has failed."""
        return self._find(key) is not None

    def down(self, key: bytes) -> bool:
        """Whether its health check says so."""
        row = self._find(key)
        return row is not None and bool(self._down[row])

    def failures(self, key: bytes) -> int:
        """Attempts to connect that have failed in a row."""
        row = self._find(key)
        return 0 if row is None else self._failures[row]

    def until(self, key: bytes, *, all_down: bool = False) -> float:
        """When it may be tried again, `all_down` where no other can be; in the past for one that does not fail."""
        row = self._find(key)
        if row is None:
            return 0.0
        if all_down:
            return min(self._until[row], self._since[row] + FIRST_PAUSE)
        return math.inf if self._down[row] else self._until[row]

    def admit(self, key: bytes, now: float, lease: float, *, all_down: bool = False) -> bool:
        """Whether this process may dial now. Of a server that fails nobody else may for `lease` seconds then, or for a
        second where there is no other.
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
        """A dial was given up for no fault of the server: anybody may try it."""
        with self._lock:
            row = self._find(key)
            if row is not None:
                self._until[row] = now

    def failed(self, key: bytes, began: float, now: float, *, alone: bool) -> bool:
        """A dial that began at `began` has failed; whether it is the first failure."""
        with self._lock:
            row = self._find(key)
            first = row is None
            if row is None:
                row = self._rows.claim()
                if row is None:
                    return False
            elif began < self._since[row] and not alone:
                return False  # on its way when another one had failed already: that counts once
            self._failures[row] = min(self._failures[row] + 1, 1 << 16)
            self._since[row] = now
            self._until[row] = now + pause(self._failures[row], alone=alone)
            if first:
                self._rows.publish(row, key)
            return first

    def reached(self, key: bytes, before: float = math.inf) -> bool:
        """A dial has succeeded, and what failed `before` is forgotten; whether the server is up by that."""
        if self._find(key) is None:
            return False
        with self._lock:
            row = self._find(key)
            if row is None or self._since[row] > before:
                return False
            self._failures[row] = 0
            if self._down[row]:
                return False
            self._rows.erase(row)
            return True

    def checked(self, key: bytes, *, down: bool) -> bool:
        """The verdict of a health check, or of an association that was accepted; whether that is news.

        A server that is up again has not failed either.
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
        """Forget the servers that no configuration names any more: nobody else would free their rows."""
        named = {server_key(upstream, server) for upstream in upstreams for server in upstream.servers}
        with self._lock:
            for row, key in self._rows.used():
                if key not in named:
                    self._rows.erase(row)


def server_key(upstream: Upstream, server: Server) -> bytes:
    """Under which a server is known to all processes, over reloads too."""
    return key_of_server(upstream.name, server.label)


def key_of_server(upstream: str, label: str) -> bytes:
    return key_of("server", upstream, label)
