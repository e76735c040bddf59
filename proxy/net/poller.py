"""Readiness of all association sockets of a worker: one epoll, whose own descriptor the event loop watches.

uvloop's `add_reader` fires once after a RST, loses the bytes left in the socket and never reports the RST. An epoll of
our own reports both, costs the same CPU and needs less memory for each descriptor.
"""

import asyncio
import select
from time import monotonic
from typing import Protocol

IN = select.EPOLLIN
OUT = select.EPOLLOUT
BROKEN = select.EPOLLERR | select.EPOLLHUP

#: Events handled in one turn of the event loop, so that timers and other descriptors get their turn.
EVENTS_PER_TURN = 64
#: Seconds after which a turn handles no further event: a peer can make one event cost a thousand times the usual work.
LONGEST_TURN = 0.05


class Handler(Protocol):
    """The owner of a registered descriptor."""

    def ready(self, mask: int) -> None:
        """Act on reported readiness (a mask of EPOLL*), with a bounded amount of work."""

    def crashed(self, error: Exception) -> None:
        """End this one association: `ready` raised, which is a bug."""


class Poller:
    """Level-triggered readiness for many descriptors."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._left: list[tuple[int, int]] = []  # reported already, to be handled in the next turn
        loop.add_reader(self._epoll.fileno(), self._turn)

    def register(self, descriptor: int, mask: int, handler: Handler) -> None:
        """Report readiness of `descriptor` to `handler`. Errors and hang-ups are always reported."""
        self._epoll.register(descriptor, mask)
        self._handlers[descriptor] = handler

    def modify(self, descriptor: int, mask: int) -> None:
        """Change what is reported for `descriptor`."""
        self._epoll.modify(descriptor, mask)

    def unregister(self, descriptor: int) -> None:
        """Forget `descriptor`. Call it before closing: otherwise the next socket with this number gets no events."""
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)
            # An event that was reported for this number must not reach the next socket that gets it.
            if self._left:
                self._left = [event for event in self._left if event[0] != descriptor]

    def __len__(self) -> int:
        return len(self._handlers)

    def close(self) -> None:
        """Stop watching everything."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._handlers.clear()

    def _turn(self) -> None:
        """Handle one batch of events. The loop calls again while any event is pending."""
        handlers = self._handlers
        began = monotonic()
        events = self._left or self._epoll.poll(0, EVENTS_PER_TURN)
        self._left = []
        for handled, (descriptor, mask) in enumerate(events, 1):
            handler = handlers.get(descriptor)
            if handler is None:  # closed by an earlier event of this turn
                continue
            try:
                handler.ready(mask)
            # The event stays pending. If the exception escaped, the next turn would raise it again, at full CPU.
            except Exception as error:  # noqa: BLE001
                handler.crashed(error)
            if monotonic() - began > LONGEST_TURN:
                # The rest goes first in the next turn: a new poll could report the same slow descriptors first again.
                self._left = events[handled:]
                return
