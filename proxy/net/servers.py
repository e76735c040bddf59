"""What all workers of all generations know of the servers that fail, and the choice of a server by it.

A server that cannot be connected to is left alone for a while; then one process alone may try it. One that its health
check calls down is left alone until the check, or an association that it accepts, says otherwise. Where all servers of
an upstream fail, each is tried every second: the first one to come back is found soon, and a check that is wrong is no
outage. Where there is but one server and no check has called it down, each request tries it, for there is nothing to
gain from waiting.
"""

import itertools
import math
import time
from collections.abc import Iterable
from typing import Any, Protocol

from proxy.config.values import Server, Upstream
from proxy.net.counts import Counts, Share
from proxy.net.table import SharedTable, key_of
from proxy.observe.families import server_label
from proxy.upstream.pool import FIRST_PAUSE, candidates, pause

_KEY = 16
#: Servers that fail at once. One more would be asked as if it did not.
_ROWS = 256
_FREE = bytes(_KEY)


class Events(Protocol):
    """Where a server that goes or comes back is told of."""

    def event(self, level: str, name: str, **fields: Any) -> None:
        """One line of the log."""


class ServerStates:
    """The servers that fail or are down, in memory that the processes share. A server without a row is up.

    Times are those of the monotonic clock, which all processes share. Written under the table's lock; a key is written
    last and erased first, so that a process that is killed meanwhile leaves no half row.
    """

    SIZE = _ROWS * (_KEY + 8 + 8 + 4 + 1)

    def __init__(self, table: SharedTable) -> None:
        self._lock = table.lock
        self._memory = memory = table.map_extra()
        view = memoryview(memory)
        until, since, failures = _ROWS * _KEY, _ROWS * (_KEY + 8), _ROWS * (_KEY + 16)
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

    def until(self, key: bytes, *, desperate: bool = False) -> float:
        """When it may be tried again, `desperate` where no other can be; in the past for one that does not fail."""
        row = self._find(key)
        if row is None:
            return 0.0
        if desperate:
            return min(self._until[row], self._since[row] + FIRST_PAUSE)
        return math.inf if self._down[row] else self._until[row]

    def admit(self, key: bytes, now: float, lease: float, *, desperate: bool = False) -> bool:
        """Whether this process may dial now. Of a server that fails nobody else may for `lease` seconds then, or for a
        second where there is no other.
        """
        if self._find(key) is None:
            return True
        with self._lock:
            row = self._find(key)
            if row is None:
                return True
            if self.until(key, desperate=desperate) > now:
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
                key = self._memory[row * _KEY : (row + 1) * _KEY]
                if key != _FREE and key not in named:
                    self._name(row, _FREE)

    def _claim(self) -> int | None:
        """A free row, emptied; it has no name yet. Call it locked."""
        row = self._row(_FREE)
        if row is not None:
            self._until[row] = self._since[row] = 0.0
            self._failures[row] = self._down[row] = 0
        return row

    def _name(self, row: int, key: bytes) -> None:
        self._memory[row * _KEY : (row + 1) * _KEY] = key

    def _find(self, key: bytes) -> int | None:
        return self._row(key)

    def _row(self, key: bytes) -> int | None:
        end = _ROWS * _KEY
        at = self._memory.find(key, 0, end)
        while at != -1 and at % _KEY:
            at = self._memory.find(key, at + 1, end)
        return None if at == -1 else at // _KEY


def server_key(upstream: Upstream, server: Server) -> bytes:
    """Under which a server is known to all processes, over reloads too."""
    return _key(upstream.name, server_label(server))


def _key(upstream: str, label: str) -> bytes:
    return key_of("server", upstream, label)


class Servers:
    """The choice of servers, in one worker."""

    def __init__(self, states: ServerStates, counts: Counts, events: Events, longest_dial: float) -> None:
        self._states = states
        self._counts = counts
        self._events = events
        self._longest_dial = longest_dial
        self._turns = itertools.count(counts.slot)  # workers begin with different servers

    def order(self, upstream: Upstream) -> list[Server]:
        """Those that may be tried now, the best first. None, if all have failed a moment ago."""
        if self._is_alone(upstream):
            return list(upstream.servers)
        now = time.monotonic()
        keys = [server_key(upstream, server) for server in upstream.servers]
        ordered = candidates(upstream, [self._counts.held(key) for key in keys], next(self._turns))
        return [server for server in ordered if self._states.until(server_key(upstream, server)) <= now] or [
            server for server in ordered if self._states.until(server_key(upstream, server), desperate=True) <= now
        ]

    def _is_alone(self, upstream: Upstream) -> bool:
        """Whether each request tries its server, whatever the last one met."""
        return len(upstream.servers) == 1 and not self._states.down(server_key(upstream, upstream.servers[0]))

    def admit(self, upstream: Upstream, server: Server, share: Share) -> bool:
        """Whether to dial it; its association is counted from now on."""
        now = time.monotonic()
        if not self._is_alone(upstream):
            key = server_key(upstream, server)
            lease = max(self._longest_dial, pause(self._states.failures(key), alone=False))
            desperate = all(self._states.failing(server_key(upstream, other)) for other in upstream.servers)
            if not self._states.admit(key, now, lease, desperate=desperate):
                return False
            if len(upstream.servers) > 1:
                self._counts.serve(share, key)
        share.dialling = (server, now)
        return True

    def failed(self, upstream: Upstream, share: Share) -> None:
        """What `admit` let be dialled cannot be connected to."""
        if share.dialling is None:
            return
        server, began = share.dialling
        share.dialling = None
        alone = len(upstream.servers) == 1
        first = self._states.failed(server_key(upstream, server), began, time.monotonic(), alone=alone)
        if not alone:
            self._counts.serve(share, None)
            if first:
                self._events.event("warning", "server_down", upstream=upstream.name, server=server_label(server))

    def abandoned(self, upstream: Upstream, share: Share) -> None:
        """What `admit` let be dialled is wanted no more."""
        if share.dialling is not None:
            server, _ = share.dialling
            share.dialling = None
            self._states.abandoned(server_key(upstream, server), time.monotonic())

    def reached(self, upstream: Upstream, share: Share) -> None:
        """What `admit` let be dialled is connected."""
        if share.dialling is None:
            return
        server, _ = share.dialling
        share.dialling = None
        if self._states.reached(server_key(upstream, server)) and len(upstream.servers) > 1:
            self._events.event("info", "server_up", upstream=upstream.name, server=server_label(server))

    def accepted(self, upstream: Upstream, server: str | None) -> None:
        """The server of this label has accepted an association, whatever its health check says."""
        if upstream.health_check is None or server is None:
            return
        if self._states.checked(_key(upstream.name, server), down=False):
            text = "it has accepted an association, against its health check"
            self._events.event("info", "server_up", upstream=upstream.name, server=server, message=text)

    def next_trial(self, upstream: Upstream) -> float:
        """In how many seconds the first of its servers may be tried again."""
        soonest = min(self._states.until(server_key(upstream, one), desperate=True) for one in upstream.servers)
        return max(0.0, soonest - time.monotonic())
