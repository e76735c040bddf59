"""Runs the stages of an association in a coroutine: one wait and one deadline at a time, interrupted from outside.

A deadline is set when its stage begins, and bytes that trickle in do not move it (invariant 6, docs/architecture.md). A
deadline, a requestor that leaves or an operator ends the stages in the same way: the coroutine is cancelled, and
`_interruption` holds the reason.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from proxy.net.leg import Leg
from proxy.net.refused import Refused
from proxy.policy import Reason


class StageRunner:
    """The coroutine of an association (a `stages.Conversation`), until the relay takes over."""

    __slots__ = ("_awaited", "_deadline", "_interruption", "_loop", "_running", "_task", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task: asyncio.Task[None] | None = None
        self._running = False
        self._waiter: asyncio.Future[None] | None = None
        self._awaited: Leg | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._interruption: Refused | None = None

    def _start(self, stages: Coroutine[Any, Any, None]) -> None:
        self._task = self._loop.create_task(stages)

    def _set_out(self) -> None:
        """Begin to run. Raise the interruption that came before the first step of the task, if one did."""
        self._running = True
        if self._interruption is not None:
            raise self._interruption

    async def event_on(self, leg: Leg) -> None:
        """Wait until `leg` has bytes or its end, or is connected. There is one waiter: stages run one after another."""
        self._awaited = leg
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = self._awaited = None

    def _within(self, seconds: float | None, reason: Reason = Reason.INTERNAL, detail: str = "") -> None:
        """Replace the deadline: the next stage may take `seconds`, or any time if None."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds is not None:
            self._deadline = self._loop.call_later(seconds, self._too_late, reason, detail)

    def _too_late(self, reason: Reason, detail: str) -> None:
        self._interrupt(Refused(reason, detail))

    def _interrupt(self, refused: Refused) -> None:
        """End the stages from outside the coroutine. The first interruption stands."""
        if self._task is not None and self._interruption is None:
            self._interruption = refused
            # A task that is cancelled before its first step never enters its `try`: no handler would answer and close.
            # `_set_out` raises the interruption then.
            if self._running:
                self._task.cancel()

    def _wake(self, leg: Leg) -> None:
        """Go on, if the stage waits for `leg`."""
        # An event without a waiter is not lost: epoll is level-triggered and reports unread bytes again, and a stage
        # looks at `eof` before it waits.
        if leg is self._awaited and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
