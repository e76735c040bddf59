"""How a leg is closed so that the last thing it was told is not lost to a RST.

Closing a socket with unread input makes the kernel send a RST, which can destroy an answer that the peer has not read
yet. So: FIN behind the answer, read and drop until the peer closes or `timeouts.close` is over, then close.
"""

import asyncio
from collections.abc import Callable

from proxy.net.leg import Leg

_FIRST_LOOK = 0.01  # seconds until the first look whether all was delivered; doubled each time
_LONGEST_LOOK = 1.0


def linger(
    leg: Leg, loop: asyncio.AbstractEventLoop, timeout: float, unacknowledged: float, closed: Callable[[], None]
) -> None:
    """Finish `leg`, drop what it still says, close it at its EOF or after `timeout` seconds; then call `closed`.

    While the peer has not even acknowledged what it was sent, up to `unacknowledged` seconds are waited instead.
    """
    _Linger(leg, loop, timeout, unacknowledged, closed)


def reset_when_delivered(
    leg: Leg, loop: asyncio.AbstractEventLoop, unacknowledged: float, closed: Callable[[], None]
) -> None:
    """Reset `leg` as soon as its peer's kernel has all that was sent (a RST would destroy what is on the way)."""
    _Reset(leg, loop, loop.time() + unacknowledged, closed)


class _Linger:
    """A leg that is read until its end, its bytes dropped."""

    __slots__ = ("_closed", "_deadline", "_last", "_leg", "_loop", "_timeout")

    def __init__(
        self,
        leg: Leg,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        unacknowledged: float,
        closed: Callable[[], None],
    ) -> None:
        self._leg = leg
        self._loop = loop
        self._closed = closed
        self._timeout = timeout
        self._last = loop.time() + unacknowledged
        leg.owner = self
        leg.finish()
        self._deadline: asyncio.TimerHandle | None = None
        self._close_at_end()
        if not leg.closed:
            self._deadline = loop.call_later(timeout, self._expired)
            leg.discard()

    def readable(self, leg: Leg) -> None:
        """Drop what was read."""
        leg.receive_raw()
        self._close_at_end()

    def drained(self, leg: Leg) -> None:
        """The FIN is out."""
        self._close_at_end()

    def broken(self, leg: Leg) -> None:
        """Nothing more can be said or heard."""
        self._close()

    def crashed(self, leg: Leg, error: Exception) -> None:
        """A bug: close at once, before it is told: it may be memory that is missing."""
        self._close()
        self._loop.call_exception_handler({"message": "closing a connection failed on a bug", "exception": error})

    def _close_at_end(self) -> None:
        if self._leg.wire_eof and (self._leg.finished or self._leg.lost is not None):
            self._close()

    def _expired(self) -> None:
        self._deadline = None
        try:
            self._close_or_wait()
        except Exception as error:  # noqa: BLE001 - a timer has nobody above it
            self.crashed(self._leg, error)

    def _close_or_wait(self) -> None:
        if self._leg.undelivered() and self._loop.time() < self._last:
            self._deadline = self._loop.call_later(max(self._timeout, _LONGEST_LOOK), self._expired)
        else:
            self._close()

    def _close(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if not self._leg.closed:
            self._leg.close(reset=not self._leg.finished)
            self._closed()


class _Reset:
    """A leg that waits only for what was sent to arrive."""

    __slots__ = ("_closed", "_deadline", "_leg", "_look", "_loop", "_wait")

    def __init__(self, leg: Leg, loop: asyncio.AbstractEventLoop, deadline: float, closed: Callable[[], None]) -> None:
        self._leg = leg
        self._loop = loop
        self._deadline = deadline
        self._closed = closed
        self._wait = _FIRST_LOOK
        self._look: asyncio.TimerHandle | None = None
        leg.owner = self
        leg.set_reading(False)
        self._reset_if_delivered()

    def readable(self, leg: Leg) -> None:
        """Not read any more."""

    def drained(self, leg: Leg) -> None:
        """All is in the kernel: look again soon."""
        self._wait = _FIRST_LOOK

    def broken(self, leg: Leg) -> None:
        """The peer is gone already."""
        self._reset()

    def crashed(self, leg: Leg, error: Exception) -> None:
        """A bug: close at once, before it is told: it may be memory that is missing."""
        self._reset()
        self._loop.call_exception_handler({"message": "closing a connection failed on a bug", "exception": error})

    def _reset_if_delivered(self) -> None:
        self._look = None
        try:
            self._reset_or_wait()
        except Exception as error:  # noqa: BLE001 - a timer has nobody above it
            self.crashed(self._leg, error)

    def _reset_or_wait(self) -> None:
        if not self._leg.undelivered() or self._loop.time() >= self._deadline:
            self._reset()
        else:
            self._look = self._loop.call_later(self._wait, self._reset_if_delivered)
            self._wait = min(2 * self._wait, _LONGEST_LOOK)

    def _reset(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if not self._leg.closed:
            self._leg.close(reset=True)
            self._closed()
