"""Questions to all workers, for `status`, `top` and `disconnect`.

Associations come from the open records of the supervisor, so that those of a busy or stuck worker are listed too. Only
their progress comes from the workers, and is null if a worker does not answer in time.
"""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from proxy.config.values import Config, Server, Upstream
from proxy.process.generation import Generation
from proxy.process.health import HealthChecks
from proxy.process.messages import AssociationFilter, OpenRecord, Question, read_record
from proxy.process.worker_process import WorkerProcess
from proxy.shared.server_states import ServerStates, server_key


class Progress(Protocol):
    """The progress of an association, from its worker: `AssociationStatus` of `net`, which is not imported here.

    The supervisor carries no traffic, and starts faster without those 20 modules.
    """

    id: str
    age: float
    bytes_in: int
    bytes_out: int
    stored: int


async def ask_status(
    config: Config, generations: Sequence[Generation], states: ServerStates, health: HealthChecks
) -> dict[str, Any]:
    """Return workers, servers and open associations as plain JSON values. Sizes in bytes, times in seconds."""
    workers = [(generation, worker) for generation in generations for worker in generation.workers.values()]
    answers = await asyncio.gather(*(worker.ask(Question.STATUS) for _, worker in workers))
    associations: list[dict[str, Any]] = []
    for (generation, worker), answer in zip(workers, answers, strict=True):
        progress: dict[str, Progress] = {one.id: one for one in answer or ()}
        for id, pickles in list(worker.open.items()):
            place = {"worker": worker.pid, "generation": generation.number}
            associations.append(_association(id, pickles, progress.get(id)) | place)
    return {
        "time": time.time(),
        "config": config.path,
        "listeners": [listener.name for listener in config.listeners],
        "workers": [_worker(generation, worker) for generation, worker in workers],
        "upstreams": [
            {
                "name": upstream.name,
                "balance": upstream.balance,
                "servers": [_server(upstream, server, states, health, associations) for server in upstream.servers],
            }
            for upstream in config.upstreams.values()
        ],
        "associations": associations,
    }


def _association(id: str, pickles: OpenRecord, progress: Progress | None) -> dict[str, Any]:
    """Return an open association: fields of its record, and its progress if the worker has answered in time."""
    record = read_record(pickles)
    known = ("tenant", "peer", "calling_aet", "called_aet", "client", "upstream", "server")
    return {
        "id": id,
        **{key: record.get(key) for key in known},
        "age": round(progress.age, 3) if progress is not None else None,
        "bytes_in": progress.bytes_in if progress is not None else None,
        "bytes_out": progress.bytes_out if progress is not None else None,
        "stored": progress.stored if progress is not None else None,
    }


def _worker(generation: Generation, worker: WorkerProcess) -> dict[str, Any]:
    return {
        "pid": worker.pid,
        "generation": generation.number,
        "state": worker.state,
        "associations": len(worker.open),
        "idle": worker.idle.is_set(),
    }


def _server(
    upstream: Upstream,
    server: Server,
    states: ServerStates,
    health: HealthChecks,
    associations: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the state of a server: up, failing (the last connection attempt failed) or down (by its health check)."""
    key, label = server_key(upstream, server), server.label
    waits = states.until(key) - time.monotonic()  # infinite while a health check finds the server down
    return {
        "server": label,
        "weight": server.weight,
        "backup": server.backup,
        "state": "down" if states.down(key) else "failing" if states.failing(key) else "up",
        "failures": states.failures(key),
        "retry_in": round(waits, 3) if 0 < waits < math.inf else None,
        "associations": sum(one["upstream"] == upstream.name and one["server"] == label for one in associations),
        "check": health.describe(upstream, server),
    }


async def disconnect(workers: Sequence[WorkerProcess], arguments: Mapping[str, Any]) -> int:
    """End the associations that match `id`, or `tenant` and perhaps `peer`, in the arguments. Return their number."""

    def text(name: str) -> str | None:
        value = arguments.get(name)
        return value if isinstance(value, str) and value else None

    selected = AssociationFilter(text("id"), text("tenant"), text("peer"))
    answers = await asyncio.gather(*(worker.ask(Question.DISCONNECT, selected) for worker in workers))
    return sum(answer or 0 for answer in answers)
