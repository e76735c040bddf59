"""The metrics of the whole gateway: those of its workers, what ended workers have counted, and the supervisor's own."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from proxy.config.values import Config
from proxy.observe.certificates import certificate_series
from proxy.observe.families import BY_NAME
from proxy.observe.family import Kind
from proxy.observe.metrics import Metrics, Snapshot, merge
from proxy.policy import Ended
from proxy.process.child import Child
from proxy.process.messages import Question
from proxy.shared.server_states import ServerStates, server_key

#: For the answers of busy workers, in seconds: a scrape is to take less than 0.1 s whatever they do.
_BUDGET = 0.03


class Totals:
    """Sums over workers, present and past."""

    def __init__(self, config: Config, servers: ServerStates) -> None:
        self._servers = servers
        self.started = time.time()
        self._past: Snapshot = {}
        self._questions: set[asyncio.Future[None]] = set()
        self._own = Metrics(config)
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Another configuration serves. What was counted under the last one stays."""
        before = self._own.snapshot()
        self.keep(before)
        self._own = Metrics(config)
        for labels, when in before[_CHECKED_AT]:
            if isinstance(when, float) and _is_checked(config, *labels):
                self._own.set(_CHECKED_AT, labels, when)
        self._upstreams = config.upstreams
        for (name, labels), value in certificate_series(config).items():
            self._own.set(name, labels, value)
        self._own.set("config_last_reload_successful", (), 1)
        self._own.set("config_last_reload_success_timestamp_seconds", (), time.time())

    def checked(self, upstream: str, server: str, check: str, result: str, when: float) -> None:
        """A health check has ended at `when`, in seconds since 1970."""
        self._own.add("upstream_health_checks_total", (upstream, server, check, result))
        self._own.set(_CHECKED_AT, (upstream, server), when)

    def reloaded(self, trigger: str, *, ok: bool) -> None:
        """A reload has ended."""
        self._own.add("config_reloads_total", (trigger, "ok" if ok else "failed"))
        self._own.set("config_last_reload_successful", (), int(ok))

    def association_lost(self, tenant: str) -> None:
        """An association has ended with its worker."""
        self._own.add("associations_ended_total", (tenant, str(Ended.WORKER_LOST)))

    def keep(self, snapshot: Snapshot) -> None:
        """Add the counters of a worker that has ended; gauges end with it."""
        counted = {name: children for name, children in snapshot.items() if BY_NAME[name].kind in _COUNTED}
        self._past = merge([self._past, counted])

    async def collect(self, children: Sequence[Child], *, draining: bool, dropped: int) -> list[Snapshot]:
        """Ask every worker. Of one that is too busy to answer in time, its last answer stands."""
        asked = [child for child in children if child.ready.is_set() and not child.gone.is_set()]
        questions = {asyncio.ensure_future(self._ask(child)) for child in asked}
        self._questions |= questions
        if questions:
            await asyncio.wait(questions, timeout=_BUDGET)
        self._questions = {question for question in self._questions if not question.done()}
        states = Counter(child.state for child in children)
        for state in ("starting", "running", "draining", "silent"):
            self._own.set("workers", (state,), states[state])
        self._own.set("draining", (), int(draining))
        for upstream in self._upstreams.values():
            for server in upstream.servers:
                up = not self._servers.failing(server_key(upstream, server))
                self._own.set("upstream_up", (upstream.name, server.label), int(up))
        self._own.set("log_dropped_total", (), dropped)
        return [self._past, self._own.snapshot(), *(child.snapshot for child in asked if not child.gone.is_set())]

    async def _ask(self, child: Child) -> None:
        """What it answers late is there for the next time; one that does not answer at all is `silent`."""
        answer = await child.ask(Question.SNAPSHOT)
        child.silent = answer is None
        if answer is not None and not child.gone.is_set():
            child.snapshot = answer


def _is_checked(config: Config, upstream: str, server: str) -> bool:
    configured = config.upstreams.get(upstream)
    if configured is None or configured.health_check is None:
        return False
    return any(server == one.label for one in configured.servers)


_COUNTED = (Kind.COUNTER, Kind.HISTOGRAM)
_CHECKED_AT = "upstream_health_check_timestamp_seconds"
