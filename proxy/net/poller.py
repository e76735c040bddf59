"""Readiness of all association sockets of a worker: one epoll, whose own descriptor is the one the event loop watches.

uvloop's `add_reader` fires once after a RST, loses what is left in the socket and never reports the RST; an epoll of
our own reports all of it, costs the same and needs less memory for each descriptor.
"""

import asyncio
import select
from time import monotonic
from typing import Protocol

IN = select.EPOLLIN
OUT = select.EPOLLOUT
BROKEN = select.EPOLLERR | select.EPOLLHUP

#: Events handled per turn of the event loop, so that timers and other descriptors get theirs.
EVENTS_PER_TURN = 64
#: Seconds after which no further event of a turn is handled: a peer can make one cost some thousand times the usual.
LONGEST_TURN = 0.05


class Handler(Protocol):
    """Whoever owns a registered descriptor."""

    def ready(self, mask: int) -> None:
        """Readiness was reported (a mask of EPOLL*). Does a bounded amount of work."""

    def crashed(self, error: Exception) -> None:
        """`ready` let an exception escape: a bug. The owner ends that one association."""


class Poller:
    """Level-triggered readiness for many descriptors."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._left: list[tuple[int, int]] = []  # reported, and for the next turn
        loop.add_reader(self._epoll.fileno(), self._turn)

    def register(self, descriptor: int, mask: int, handler: Handler) -> None:
        """Report readiness of `descriptor` to `handler`. Errors and hang-ups are always reported."""
        self._epoll.register(descriptor, mask)
        self._handlers[descriptor] = handler

    def modify(self, descriptor: int, mask: int) -> None:
        """Change what is reported of `descriptor`."""
        self._epoll.modify(descriptor, mask)

    def unregister(self, descriptor: int) -> None:
        """Forget `descriptor`; must come before it is closed, or the next socket with its number would be deaf."""
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)
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
            # An exception that escapes a reader would be reported again at once, and spin at full CPU for ever.
            except Exception as error:  # noqa: BLE001
                handler.crashed(error)
            if monotonic() - began > LONGEST_TURN:
                # Reported anew they might stand behind the same slow ones, each time.
                self._left = events[handled:]
                return
