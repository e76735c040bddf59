"""One listening socket of a worker: accepts while there is room, and leaves connections to less loaded workers.

All workers wait on the same listening socket. The kernel wakes any of them, so that alone does not balance. A worker
that has more connections than another takes the socket out of its poller for a moment; if the connection is still in
the queue after that, the others are busy, and this worker takes it.
"""

import errno
import select
import socket
from typing import Any, Protocol

from proxy.config.values import Listener
from proxy.net.poller import IN
from proxy.net.station import Station

_PAUSE = 0.1  # seconds without accepting when the system has no room for another socket
_REPORT_PERIOD = 1.0  # seconds between two log lines about that
# Connections taken from the queue for one event. It bounds the time that a flood of refused connections takes from the
# associations of this worker.
_ACCEPTS = 32
_YIELD = 0.002  # seconds of one turn, in which another worker may take the connection
# Turns that the other workers get before this one takes a connection. A busy worker may need several. If none takes
# anything in all of them, the others hang or are overloaded: they get one turn for each connection until one of them
# takes a connection again.
_TURNS = 10
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC)  # ENOSPC: from epoll_ctl


class GateOwner(Protocol):
    """The part of the worker that its gates use."""

    def accepted(self, listener: Listener, connection: socket.socket, peer: tuple[Any, ...]) -> None:
        """Serve or close a connection from `peer`, an address of the socket module."""


class Gate:
    """A listening socket that the worker shares with all other workers."""

    def __init__(self, owner: GateOwner, station: Station, listener: Listener, sock: socket.socket) -> None:
        self._owner = owner
        self._station = station
        self._listener = listener
        self._socket = sock
        self._open = False
        self._closed = False
        self._turns = _TURNS  # left to the other workers
        self._reported = -_REPORT_PERIOD
        sock.setblocking(False)

    def open(self) -> None:
        """Accept connections from now on."""
        if not self._open and not self._closed:
            self._station.poller.register(self._socket.fileno(), IN, self)
            self._open = True

    def _shut(self) -> None:
        """Watch the socket no more. Connections wait in the kernel's queue, which every worker shares."""
        if self._open:
            self._station.poller.unregister(self._socket.fileno())
            self._open = False

    def close(self) -> None:
        """Stop accepting and close this worker's copy of the socket."""
        self._shut()
        self._closed = True
        self._socket.close()

    def ready(self, mask: int) -> None:
        """Take one waiting connection and leave the next to other workers; refused connections do not count."""
        counts = self._station.counts
        # Taken out of the poller for a turn: epoll is level-triggered and would report the same connection at once.
        if self._turns and counts.ahead():
            self._turns -= 1
            self._shut()
            self._station.loop.call_later(_YIELD, self._yielded)
            return
        self._turns = max(self._turns, 1)  # after the last turn: one for the next connection
        before = counts.connections
        try:
            for _ in range(_ACCEPTS):
                connection, peer = self._socket.accept()
                self._owner.accepted(self._listener, connection, peer)
                if counts.connections > before:
                    return
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was faster, or the peer has left the queue
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self._pause(error)

    def _yielded(self) -> None:
        if not self._closed and not self._waits():
            self._turns = _TURNS  # another worker took it
        self._resume()

    def _waits(self) -> bool:
        """Return whether a connection waits in the queue."""
        events = select.poll()
        events.register(self._socket, select.POLLIN)
        return bool(events.poll(0))

    def crashed(self, error: Exception) -> None:
        """Log a bug and pause: the connection in the queue would raise it again at once, at full CPU."""
        self._station.records.bug("accepting a connection failed", error)
        self._pause(error)

    def _pause(self, error: Exception) -> None:
        """Stop accepting for a while and log that, at most once a second."""
        # Without a pause this would be a busy loop: epoll reports the queue, and `accept` fails again.
        now = self._station.loop.time()
        if now >= self._reported + _REPORT_PERIOD:
            self._reported = now
            self._station.journal.event("error", "accept_paused", listener=self._listener.name, error=str(error))
        self._shut()
        self._station.loop.call_later(_PAUSE, self._resume)

    def _resume(self) -> None:
        try:
            self.open()
        except OSError as error:  # epoll itself may have no room; a timer that failed here would never fire again
            self._pause(error)
