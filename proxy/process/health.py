"""Active health checks: one task for each server, in the supervisor, for the workers of all generations.

The verdict goes into the shared table, which every worker reads when it chooses a server (`shared.server_states`). So
each server is checked once, not once per worker, and a reload does not interrupt the checks.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from proxy.config.values import Config, HealthCheck, Server, Upstream
from proxy.observe.answers import describe_answer
from proxy.observe.events import Events
from proxy.pdu.proxy_header import encode_proxy_header
from proxy.shared.server_states import ServerStates, server_key
from proxy.tls.upstreams import UpstreamContext
from proxy.upstream.dialling import Resolver
from proxy.upstream.echo_client import verify
from proxy.upstream.health import Health
from proxy.upstream.verification import Outcome, StepName, Verification, VerificationRequest

_SPREAD = 1.0  # seconds over which the first checks are spread


class Counter(Protocol):
    """Counts health checks."""

    def checked(self, upstream: str, server: str, check: str, result: str, when: float) -> None:
        """Count a check that ended at `when`, in seconds since the epoch."""


@dataclass(slots=True)
class _Checked:
    """A checked server and its task. `when`: the end of the last check, in seconds since the epoch."""

    upstream: Upstream
    server: Server
    check: HealthCheck
    request: VerificationRequest
    health: Health
    when: float = 0.0
    task: "asyncio.Task[None] | None" = field(default=None)

    @property
    def fields(self) -> dict[str, Any]:
        """Return the fields that all log lines about the server have."""
        return {"upstream": self.upstream.name, "server": self.server.label, "check": self.check.type}


class HealthChecks:
    """The servers that are checked. Not thread-safe: call it on one event loop."""

    def __init__(self, states: ServerStates, counter: Counter, events: Events) -> None:
        self._states = states
        self._counter = counter
        self._events = events
        self._resolver = Resolver()
        self._checked: dict[bytes, _Checked] = {}

    def configure(self, config: Config, contexts: Mapping[str, UpstreamContext]) -> None:
        """Check the servers of this configuration only. Do not interrupt the checks of an unchanged server."""
        wanted = {
            server_key(upstream, server): (upstream, server, upstream.health_check)
            for upstream in config.upstreams.values()
            for server in upstream.servers
            if upstream.health_check is not None
        }
        for key, one in list(self._checked.items()):
            if key not in wanted:
                self._states.checked(key, down=False)  # lift the verdict: no later check would
            elif _check_identity(*wanted[key][:2]) == _check_identity(one.upstream, one.server):
                upstream, server, check = wanted[key]
                # The context of the new generation, as in the workers: the CAs of the system may have changed.
                one.request = self._request(upstream, server, check, contexts.get(upstream.name))
                continue
            if one.task is not None:
                one.task.cancel()
            del self._checked[key]
        new = [key for key in wanted if key not in self._checked]
        for position, key in enumerate(new):
            upstream, server, check = wanted[key]
            request = self._request(upstream, server, check, contexts.get(upstream.name))
            one = self._checked[key] = _Checked(upstream, server, check, request, Health(check))
            # The first results are wanted soon, but not by connecting to hundreds of servers at the same moment.
            delay = min(_SPREAD, check.interval) * position / len(new)
            one.task = asyncio.get_running_loop().create_task(self._run(key, one, delay))

    async def close(self) -> None:
        """End all checks."""
        tasks = [one.task for one in self._checked.values() if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def describe(self, upstream: Upstream, server: Server) -> dict[str, Any] | None:
        """Return the last check of a server as plain JSON values, or None if there was none yet."""
        one = self._checked.get(server_key(upstream, server))
        if one is None or one.health.last is None:
            return None
        result = one.health.last
        return {
            "type": one.check.type,
            "time": one.when,
            "outcome": result.outcome,
            "failed_step": result.failed_step,
            "detail": describe_check(result),
            "seconds": round(sum(seconds for _, seconds in result.steps), 6),
            "implementation": result.implementation,
        }

    def _request(
        self, upstream: Upstream, server: Server, check: HealthCheck, context: UpstreamContext | None
    ) -> VerificationRequest:
        version = upstream.send_proxy_protocol
        return VerificationRequest(
            server,
            check.called_aet,
            check.calling_aet,
            tls=None if context is None else context.context,
            server_name=None if context is None else context.settings.name_of(server),
            weakness=None if context is None else context.weakness,
            timeout=check.timeout,
            # A check has no client address to pass on: LOCAL (version 2) or UNKNOWN (version 1).
            preface=b"" if version is None else encode_proxy_header(version, None, None),
            source_address=upstream.source_address,
            resolver=self._resolver,
            last=StepName.CONNECT if check.type == "tcp" else StepName.RELEASE,
        )

    async def _run(self, key: bytes, one: _Checked, delay: float) -> None:
        await asyncio.sleep(delay)
        while True:
            began = time.monotonic()
            try:
                self._learn(key, one, await verify(one.request), began)
            # A missing descriptor, missing memory or a bug is no verdict on the server. The loop has to go on, or the
            # last verdict would stand for ever.
            except Exception as error:  # noqa: BLE001 - logged
                self._events.event("error", "health_check_failed", **one.fields, error=repr(error))
            await asyncio.sleep(max(0.0, one.check.interval - (time.monotonic() - began)))

    def _learn(self, key: bytes, one: _Checked, result: Verification, began: float) -> None:
        before = one.health.last
        one.when = time.time()
        self._counter.checked(one.upstream.name, one.server.label, one.check.type, result.outcome, one.when)
        # From the table, not from the last check: a worker lifts the verdict once the server accepts an association.
        was_down = self._states.down(key)
        down = one.health.learn(result, began, down=was_down)
        if down != was_down:
            if self._states.checked(key, down=down):
                if down:
                    self._events.event("error", "server_down", **one.fields, message=describe_check(result))
                else:
                    self._events.event("info", "server_up", **one.fields, message=describe_check(result))
        # The checks found it up, but a worker could not connect to it. After `rise` good checks that all began after
        # that failure, it gets associations at once instead of after its pause.
        elif one.health.good_since is not None and self._states.reached(key, before=one.health.good_since):
            self._events.event("info", "server_up", **one.fields, message=describe_check(result))
        # Once, not at each check: a server that does not know the AE titles of the check refuses every one.
        if result.refused and not (before is not None and before.refused):
            self._events.event("info", "health_check_refused", **one.fields, message=describe_check(result))


def describe_check(result: Verification) -> str:
    """Return the result of a check as a phrase for the log and `status`."""
    if result.outcome is Outcome.OK:
        return result.detail or "it answers"
    answer = describe_answer(result.answer) if result.answer is not None else result.detail
    if result.refused:
        return f"alive, refuses the check: {answer}"
    return f"{answer} ({result.failed_step})" if result.failed_step else answer


def _check_identity(upstream: Upstream, server: Server) -> tuple[object, ...]:
    """Return everything that influences a check of the server. If it changes, earlier results are discarded."""
    tls, version, source = upstream.tls, upstream.send_proxy_protocol, upstream.source_address
    return server.host, server.port, upstream.health_check, tls, version, source
