"""What all workers of all generations know of the servers that fail, and the choice of a server by it.

A server that cannot be connected to is left alone for a while; then one process alone may try it. One that its health
check calls down is left alone until the check, or an association that it accepts, says otherwise. Where all servers of
an upstream fail, each is tried every second: the first one to come back is found soon, and a check that is wrong is no
outage. Where there is but one server and no check has called it down, each request tries it, for there is nothing to
gain from waiting.
"""

import itertools
import time
from typing import Any, Protocol

from proxy.config.values import Server, Upstream
from proxy.shared.counts import Claim, Counts
from proxy.shared.server_states import ServerStates, key_of_server, server_key
from proxy.upstream.pool import candidates, pause


class Events(Protocol):
    """Where a server that goes or comes back is told of."""

    def event(self, level: str, name: str, **fields: Any) -> None:
        """One line of the log."""


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
        ordered = candidates(upstream, [self._counts.count(key) for key in keys], next(self._turns))
        return [server for server in ordered if self._states.until(server_key(upstream, server)) <= now] or [
            server for server in ordered if self._states.until(server_key(upstream, server), all_down=True) <= now
        ]

    def _is_alone(self, upstream: Upstream) -> bool:
        """Whether each request tries its server, whatever the last one met."""
        return len(upstream.servers) == 1 and not self._states.down(server_key(upstream, upstream.servers[0]))

    def admit(self, upstream: Upstream, server: Server, claim: Claim) -> bool:
        """Whether to dial it; its association is counted from now on."""
        now = time.monotonic()
        if not self._is_alone(upstream):
            key = server_key(upstream, server)
            lease = max(self._longest_dial, pause(self._states.failures(key), alone=False))
            all_down = all(self._states.failing(server_key(upstream, other)) for other in upstream.servers)
            if not self._states.admit(key, now, lease, all_down=all_down):
                return False
            if len(upstream.servers) > 1:
                self._counts.serve(claim, key)
        claim.dialling = (server, now)
        return True

    def failed(self, upstream: Upstream, claim: Claim) -> None:
        """What `admit` let be dialled cannot be connected to."""
        if claim.dialling is None:
            return
        server, began = claim.dialling
        claim.dialling = None
        alone = len(upstream.servers) == 1
        first = self._states.failed(server_key(upstream, server), began, time.monotonic(), alone=alone)
        if not alone:
            self._counts.serve(claim, None)
            if first:
                self._events.event("warning", "server_down", upstream=upstream.name, server=server.label)

    def abandoned(self, upstream: Upstream, claim: Claim) -> None:
        """What `admit` let be dialled is wanted no more."""
        if claim.dialling is not None:
            server, _ = claim.dialling
            claim.dialling = None
            self._states.abandoned(server_key(upstream, server), time.monotonic())

    def reached(self, upstream: Upstream, claim: Claim) -> None:
        """What `admit` let be dialled is connected."""
        if claim.dialling is None:
            return
        server, _ = claim.dialling
        claim.dialling = None
        if self._states.reached(server_key(upstream, server)) and len(upstream.servers) > 1:
            self._events.event("info", "server_up", upstream=upstream.name, server=server.label)

    def accepted(self, upstream: Upstream, server: str | None) -> None:
        """The server of this label has accepted an association, whatever its health check says."""
        if upstream.health_check is None or server is None:
            return
        if self._states.checked(key_of_server(upstream.name, server), down=False):
            text = "it has accepted an association, against its health check"
            self._events.event("info", "server_up", upstream=upstream.name, server=server, message=text)

    def next_trial(self, upstream: Upstream) -> float:
        """In how many seconds the first of its servers may be tried again."""
        soonest = min(self._states.until(server_key(upstream, one), all_down=True) for one in upstream.servers)
        return max(0.0, soonest - time.monotonic())
