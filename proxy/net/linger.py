"""Closing a leg so that its last answer is not lost to a RST.

Closing a socket with unread input makes the kernel send a RST, which can destroy an answer that the peer has not read
yet. Therefore the gateway sends FIN after the answer, reads and drops until the peer closes or `timeouts.close` is
over, and then closes.

No event reports that the peer's kernel has acknowledged everything. `Leg.undelivered` asks our own, at intervals.
"""

import asyncio
from collections.abc import Callable

from proxy.net.leg import Leg

_FIRST_LOOK = 0.01  # seconds until the first check whether all was delivered; doubled each time
_LONGEST_LOOK = 1.0  # seconds between two checks


def linger(
    leg: Leg, loop: asyncio.AbstractEventLoop, timeout: float, unacknowledged: float, closed: Callable[[], None]
) -> None:
    """Finish `leg`, drop what it still sends, close it at its EOF or after `timeout` seconds, then call `closed`.

    While the peer's kernel has not acknowledged everything, wait up to `unacknowledged` seconds instead: a slow PACS
    may take minutes to read what is on the way to it.
    """
    _Linger(leg, loop, timeout, unacknowledged, closed)


def reset_when_delivered(
    leg: Leg, loop: asyncio.AbstractEventLoop, unacknowledged: float, closed: Callable[[], None]
) -> None:
    """Reset `leg` once its peer's kernel has received everything, or after `unacknowledged` seconds; call `closed`.

    An earlier RST would destroy bytes on their way, which the peer may need to keep a complete object.
    """
    _Reset(leg, loop, loop.time() + unacknowledged, closed)


class _Linger:
    """Reads a leg to its end and drops the bytes."""

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
        # FIN before reading: the peer sees the end of the answer and can close, which ends the wait early.
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
        """Close if the FIN is sent and the peer has closed too."""
        self._close_at_end()

    def broken(self, leg: Leg) -> None:
        """Close: nothing more can be sent or read."""
        self._close()

    def crashed(self, leg: Leg, error: Exception) -> None:
        """Close at once after a bug, and report afterwards: the bug may be a MemoryError."""
        self._close()
        self._loop.call_exception_handler({"message": "closing a connection failed on a bug", "exception": error})

    def _close_at_end(self) -> None:
        # An EOF from the peer is not enough: while the answer still waits in this process, closing would drop it.
        if self._leg.wire_eof and (self._leg.finished or self._leg.lost is not None):
            self._close()

    def _expired(self) -> None:
        self._deadline = None
        try:
            self._close_or_wait()
        except Exception as error:  # noqa: BLE001 - nothing above a timer catches
            self.crashed(self._leg, error)

    def _close_or_wait(self) -> None:
        # Never sooner than a second: with `timeouts.close` 0 the timer would fire in every turn of the event loop.
        if self._leg.undelivered() and self._loop.time() < self._last:
            self._deadline = self._loop.call_later(max(self._timeout, _LONGEST_LOOK), self._expired)
        else:
            self._close()

    def _close(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if not self._leg.closed:
            # If bytes still wait here, a plain close would send FIN after those in the kernel, and the peer would take
            # a cut answer for a whole one.
            self._leg.close(reset=not self._leg.finished)
            self._closed()


class _Reset:
    """Waits until the peer's kernel has everything that was sent, then resets the leg."""

    __slots__ = ("_closed", "_deadline", "_leg", "_look", "_loop", "_wait")

    def __init__(self, leg: Leg, loop: asyncio.AbstractEventLoop, deadline: float, closed: Callable[[], None]) -> None:
        self._leg = leg
        self._loop = loop
        self._deadline = deadline
        self._closed = closed
        self._wait = _FIRST_LOOK
        self._look: asyncio.TimerHandle | None = None
        leg.owner = self
        leg.set_reading(False)  # the RST drops unread input, and here that is meant
        self._reset_if_delivered()

    def readable(self, leg: Leg) -> None:
        """Ignore: the leg is no longer read."""

    def drained(self, leg: Leg) -> None:
        """Check at short intervals again: the last bytes have gone to the kernel, and the peer reads."""
        self._wait = _FIRST_LOOK

    def broken(self, leg: Leg) -> None:
        """Reset: the peer has left already."""
        self._reset()

    def crashed(self, leg: Leg, error: Exception) -> None:
        """Close at once after a bug, and report afterwards: the bug may be a MemoryError."""
        self._reset()
        self._loop.call_exception_handler({"message": "closing a connection failed on a bug", "exception": error})

    def _reset_if_delivered(self) -> None:
        self._look = None
        try:
            self._reset_or_wait()
        except Exception as error:  # noqa: BLE001 - nothing above a timer catches
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
