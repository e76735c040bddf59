"""The verbs of the control socket."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from proxy.process.reload import Reloaded
from proxy.process.status import disconnect
from proxy.process.worker_process import WorkerProcess


class Requests:
    """Answers the requests of the control socket. The callables belong to the supervisor.

    Every answer contains `ok`, and all but the one to `status` contain a `message`.
    """

    def __init__(
        self,
        *,
        reload: Callable[[str], Awaitable[Reloaded]],
        drain: Callable[[], None],
        stop: Callable[[], None],
        workers: Callable[[], Sequence[WorkerProcess]],
        status: Callable[[], Awaitable[Mapping[str, Any]]],
    ) -> None:
        self._reload = reload
        self._drain = drain
        self._stop = stop
        self._workers = workers
        self._status = status

    async def answer(self, verb: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Carry out one request and return its answer."""
        match verb:
            case "reload":
                outcome = await self._reload("api")
                return {"ok": outcome.ok, "message": outcome.text}
            case "drain":
                open_now = self._open()
                self._drain()
                return {"ok": True, "message": "new associations are refused", "associations": open_now}
            case "stop":
                open_now = self._open()
                self._stop()
                return {"ok": True, "message": "stopping", "associations": open_now}
            case "disconnect":
                count = await disconnect(self._workers(), arguments)
                return {"ok": count > 0, "message": f"{count} associations are ended", "associations": count}
            case "status":
                return {"ok": True, **await self._status()}
            case _:
                return {"ok": False, "message": f"unknown request {verb!r}: is this gateway of another version?"}

    def _open(self) -> int:
        return sum(len(worker.open) for worker in self._workers())
