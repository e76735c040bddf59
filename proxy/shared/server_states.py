"""The servers of upstreams that fail or are down, as all workers of all generations know them."""

import math
from collections.abc import Iterable

from proxy.config.values import Server, Upstream
from proxy.shared.table import KEY, SharedTable, find_key, key_of
from proxy.upstream.pool import FIRST_PAUSE, pause

#: Servers that fail at once. One more would be asked as if it did not.
_ROWS = 256
_FREE = bytes(KEY)


class ServerStates:
    """The servers that fail or are down, in memory that the processes share. A server without a row is up.

    Times are those of the monotonic clock, which all processes share. Written under the table's lock; a key is written
    last and erased first, so that a process that is killed meanwhile leaves no half row.
    """

    SIZE = _ROWS * (KEY + 8 + 8 + 4 + 1)

    def __init__(self, table: SharedTable) -> None:
        self._lock = table.lock
        self._memory = memory = table.map_extra()
        view = memoryview(memory)
        until, since, failures = _ROWS * KEY, _ROWS * (KEY + 8), _ROWS * (KEY + 16)
        self._until = view[until:since].cast("d")
        self._since = view[since:failures].cast("d")
        self._failures = view[failures : failures + _ROWS * 4].cast("I")
        self._down = view[failures + _ROWS * 4 : self.SIZE]

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
                row = self._claim()
                if row is None:
                    return False
            elif began < self._since[row] and not alone:
                return False  # on its way when another one had failed already: that counts once
            self._failures[row] = min(self._failures[row] + 1, 1 << 16)
            self._since[row] = now
            self._until[row] = now + pause(self._failures[row], alone=alone)
            if first:
                self._name(row, key)
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
            self._name(row, _FREE)
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
                self._name(row, _FREE)
                return True
            new = row is None
            if row is None:
                row = self._claim()
                if row is None:
                    return False
            elif self._down[row]:
                return False
            self._down[row] = 1
            if new:
                self._name(row, key)
            return True

    def keep_only(self, upstreams: Iterable[Upstream]) -> None:
        """Forget the servers that no configuration names any more: nobody else would free their rows."""
        named = {server_key(upstream, server) for upstream in upstreams for server in upstream.servers}
        with self._lock:
            for row in range(_ROWS):
                key = self._memory[row * KEY : (row + 1) * KEY]
                if key != _FREE and key not in named:
                    self._name(row, _FREE)

    def _claim(self) -> int | None:
        """A free row, emptied; it has no name yet. Call it locked."""
        row = self._find(_FREE)
        if row is not None:
            self._until[row] = self._since[row] = 0.0
            self._failures[row] = self._down[row] = 0
        return row

    def _name(self, row: int, key: bytes) -> None:
        self._memory[row * KEY : (row + 1) * KEY] = key

    def _find(self, key: bytes) -> int | None:
        return find_key(self._memory, key, 0, _ROWS * KEY)


def server_key(upstream: Upstream, server: Server) -> bytes:
    """Under which a server is known to all processes, over reloads too."""
    return key_of_server(upstream.name, server.label)


def key_of_server(upstream: str, label: str) -> bytes:
    return key_of("server", upstream, label)
