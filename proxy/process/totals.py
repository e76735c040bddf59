"""The metrics of the whole gateway: of its workers, of workers that have ended, and of the supervisor itself.

A counter must never decrease: Prometheus would take that for a restart. So the counters of a worker that has ended are
kept, over replacements and reloads.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from proxy.config.values import Config
from proxy.observe.certificates import Series
from proxy.observe.families import BY_NAME
from proxy.observe.family import Kind
from proxy.observe.metrics import Metrics, Snapshot, merge
from proxy.policy import Ended
from proxy.process.messages import Question
from proxy.process.worker_process import WorkerProcess
from proxy.shared.server_states import ServerStates, server_key

#: Seconds that a scrape waits for busy workers. The whole scrape should take less than 0.1 s.
_BUDGET = 0.03


class Totals:
    """Adds up the metrics of workers, present and past."""

    def __init__(self, config: Config, ends: Series, servers: ServerStates) -> None:
        self._servers = servers
        self.started = time.time()
        self._past: Snapshot = {}  # of workers and configurations that have ended
        self._questions: set[asyncio.Future[None]] = set()
        self._own = Metrics(config)
        self.configure(config, ends)

    def configure(self, config: Config, ends: Series) -> None:
        """Create the series of another configuration. Keep the counts made under the previous one."""
        before = self._own.snapshot()
        self.keep(before)
        self._own = Metrics(config)
        # Gauges end with their configuration. This one stays true until the next check, which may be minutes away.
        for labels, when in before[_CHECKED_AT]:
            if isinstance(when, float) and _is_checked(config, *labels):
                self._own.set(_CHECKED_AT, labels, when)
        self._upstreams = config.upstreams
        for (name, labels), value in ends.items():
            self._own.set(name, labels, value)
        self._own.set("config_last_reload_successful", (), 1)
        self._own.set("config_last_reload_success_timestamp_seconds", (), time.time())

    def checked(self, upstream: str, server: str, check: str, result: str, when: float) -> None:
        """Count a health check that ended at `when`, in seconds since the epoch."""
        self._own.add("upstream_health_checks_total", (upstream, server, check, result))
        self._own.set(_CHECKED_AT, (upstream, server), when)

    def reloaded(self, trigger: str, *, ok: bool) -> None:
        """Count a reload."""
        self._own.add("config_reloads_total", (trigger, "ok" if ok else "failed"))
        self._own.set("config_last_reload_successful", (), int(ok))

    def association_lost(self, tenant: str) -> None:
        """Count an association that ended with its worker."""
        self._own.add("associations_ended_total", (tenant, str(Ended.WORKER_LOST)))

    def keep(self, snapshot: Snapshot) -> None:
        """Keep the counters and histograms of a worker that has ended, but not its gauges."""
        counted = {name: series for name, series in snapshot.items() if BY_NAME[name].kind in _COUNTED}
        self._past = merge([self._past, counted])

    async def collect(self, workers: Sequence[WorkerProcess], *, draining: bool, dropped: int) -> list[Snapshot]:
        """Return the snapshots to add up. A worker that does not answer in time contributes its last answer."""
        asked = [worker for worker in workers if worker.ready.is_set() and not worker.gone.is_set()]
        questions = {asyncio.ensure_future(self._ask(worker)) for worker in asked}
        self._questions |= questions  # kept after this scrape: a late answer is stored for the next one
        if questions:
            await asyncio.wait(questions, timeout=_BUDGET)
        self._questions = {question for question in self._questions if not question.done()}
        states = Counter(worker.state for worker in workers)
        for state in ("starting", "running", "draining", "silent"):
            self._own.set("workers", (state,), states[state])
        self._own.set("draining", (), int(draining))
        # From the shared table, not from the workers: they all use that table, and a busy worker may not answer.
        for upstream in self._upstreams.values():
            for server in upstream.servers:
                up = not self._servers.failing(server_key(upstream, server))
                self._own.set("upstream_up", (upstream.name, server.label), int(up))
        self._own.set("log_dropped_total", (), dropped)
        # `gone` again: a worker that ended during the wait is in `_past` already and must not count twice.
        return [self._past, self._own.snapshot(), *(worker.snapshot for worker in asked if not worker.gone.is_set())]

    async def _ask(self, worker: WorkerProcess) -> None:
        """Store the answer, also one that is too late for this scrape. Without an answer the worker is `silent`."""
        answer = await worker.ask(Question.SNAPSHOT)
        worker.silent = answer is None
        if answer is not None and not worker.gone.is_set():
            worker.snapshot = answer


def _is_checked(config: Config, upstream: str, server: str) -> bool:
    configured = config.upstreams.get(upstream)
    if configured is None or configured.health_check is None:
        return False
    return any(server == one.label for one in configured.servers)


_COUNTED = (Kind.COUNTER, Kind.HISTOGRAM)
_CHECKED_AT = "upstream_health_check_timestamp_seconds"
