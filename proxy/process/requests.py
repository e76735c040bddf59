"""What the control socket can be asked."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proxy.process.status import ask_status, disconnect

if TYPE_CHECKING:
    from proxy.process.supervisor import Supervisor


class Requests:
    """Answers for a supervisor. Every answer has `ok`; all but `status` say in `message` what was done."""

    def __init__(self, supervisor: "Supervisor") -> None:
        self._supervisor = supervisor

    async def answer(self, verb: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """One request."""
        supervisor = self._supervisor
        children = supervisor.children()
        associations = sum(len(child.open) for child in children)
        if verb == "reload":
            outcome = await supervisor.reload("api")
            return {"ok": outcome.ok, "message": outcome.text}
        if verb == "drain":
            supervisor.drain()
            return {"ok": True, "message": "new associations are refused", "associations": associations}
        if verb == "stop":
            supervisor.stop()
            return {"ok": True, "message": "stopping", "associations": associations}
        if verb == "disconnect":
            count = await disconnect(children, arguments)
            return {"ok": count > 0, "message": f"{count} associations are ended", "associations": count}
        if verb == "status":
            state = {"ok": True, "started": supervisor.totals.started, "draining": bool(supervisor.draining)}
            return state | await ask_status(
                supervisor.config, supervisor.generations(), supervisor.servers, supervisor.health
            )
        return {"ok": False, "message": f"{verb!r} is no request of this gateway"}
