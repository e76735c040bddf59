"""The choice of a server of an upstream, by the failures that all workers share (proxy/shared/server_states.py).

A server that refused a connection is not dialled for a while; after that one process alone may try it. A server that
its health check reports down is not dialled until the check passes, or until it accepts an association. If every server
of an upstream fails, each is tried once a second: the first to recover is found soon, and a wrong check causes no
outage. If there is only one server and no check has reported it down, every request tries it: waiting gains nothing.
"""

import itertools
import time
from dataclasses import dataclass

from proxy.config.values import Server, Upstream
from proxy.observe.events import Events
from proxy.shared.counts import Claim, Counts
from proxy.shared.server_states import ServerStates, key_of_server, server_key
from proxy.upstream.pool import candidates, pause


@dataclass(frozen=True, slots=True)
class Trial:
    """A server that may be dialled now. It ends by one of `Servers.reached`, `failed` and `abandoned`.

    `began`: monotonic seconds. `claim` counts the association for this server from the dial on, so that the other
    workers balance by it.
    """

    upstream: Upstream
    server: Server
    claim: Claim
    began: float


class Servers:
    """The choice of servers in one worker."""

    def __init__(self, states: ServerStates, counts: Counts, events: Events, longest_dial: float) -> None:
        self._states = states
        self._counts = counts
        self._events = events
        self._longest_dial = longest_dial
        self._turns = itertools.count(counts.slot)  # workers begin with different servers

    def order(self, upstream: Upstream) -> list[Server]:
        """Return the servers that may be tried now, the best first. Empty if every server failed recently."""
        if self._is_alone(upstream):
            return list(upstream.servers)
        now = time.monotonic()
        keys = [server_key(upstream, server) for server in upstream.servers]
        ordered = candidates(upstream, [self._counts.count(key) for key in keys], next(self._turns))
        # If none may be tried by its own pause, all are down: then each is tried once a second, health check or not.
        return [server for server in ordered if self._states.until(server_key(upstream, server)) <= now] or [
            server for server in ordered if self._states.until(server_key(upstream, server), all_down=True) <= now
        ]

    def _is_alone(self, upstream: Upstream) -> bool:
        """Return whether there is one server that every request tries, even if the request before has failed."""
        return len(upstream.servers) == 1 and not self._states.down(server_key(upstream, upstream.servers[0]))

    def admit(self, upstream: Upstream, server: Server, claim: Claim) -> Trial | None:
        """Permit this process to dial `server` and count the association for it; None: another process tries it."""
        now = time.monotonic()
        if not self._is_alone(upstream):
            key = server_key(upstream, server)
            # Seconds in which no other process tries this server. At least the longest dial: otherwise all processes
            # would join a trial that hangs. The lease also ends the trial of a process that was killed.
            lease = max(self._longest_dial, pause(self._states.failures(key), alone=False))
            all_down = all(self._states.failing(server_key(upstream, other)) for other in upstream.servers)
            if not self._states.admit(key, now, lease, all_down=all_down):
                return None
            if len(upstream.servers) > 1:
                self._counts.serve(claim, key)
        return Trial(upstream, server, claim, now)

    def failed(self, trial: Trial) -> None:
        """Record that no connection to the server could be made."""
        upstream, server = trial.upstream, trial.server
        alone = len(upstream.servers) == 1
        first = self._states.failed(server_key(upstream, server), trial.began, time.monotonic(), alone=alone)
        if not alone:
            self._counts.serve(trial.claim, None)  # the association is no longer this server's
            if first:  # dials that were under way together fail together: one event
                self._events.event("warning", "server_down", upstream=upstream.name, server=server.label)

    def abandoned(self, trial: Trial) -> None:
        """Record that the dial was given up for no fault of the server."""
        self._states.abandoned(server_key(trial.upstream, trial.server), time.monotonic())

    def reached(self, trial: Trial) -> None:
        """Record that the server is connected, and forget its failures. The verdict of a health check stands."""
        upstream, server = trial.upstream, trial.server
        if self._states.reached(server_key(upstream, server)) and len(upstream.servers) > 1:
            self._events.event("info", "server_up", upstream=upstream.name, server=server.label)

    def accepted(self, upstream: Upstream, server: str | None) -> None:
        """Record that the server with this label accepted an association, which outweighs its health check."""
        if upstream.health_check is None or server is None:
            return
        if self._states.checked(key_of_server(upstream.name, server), down=False):
            text = "the server accepted an association although its health check fails"
            self._events.event("info", "server_up", upstream=upstream.name, server=server, message=text)

    def next_trial(self, upstream: Upstream) -> float:
        """Return the seconds until the first of the servers may be tried again."""
        soonest = min(self._states.until(server_key(upstream, one), all_down=True) for one in upstream.servers)
        return max(0.0, soonest - time.monotonic())
