"""One listening socket of a worker: accepts while there is room, and lets a less loaded worker go first."""

import errno
import socket
from typing import TYPE_CHECKING

from proxy.config.values import Listener
from proxy.net.poller import IN

if TYPE_CHECKING:
    from proxy.net.worker import Worker

_PAUSE = 0.1  # seconds without accepting when the system has no room for another socket
_SAY = 1.0  # seconds between two log lines about that
_YIELD = 0.002  # seconds in which another worker may take the connection
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC)  # the last one: of epoll_ctl


class Gate:
    """A listening socket that the worker shares with all other workers."""

    def __init__(self, worker: "Worker", listener: Listener, sock: socket.socket) -> None:
        self._worker = worker
        self._listener = listener
        self._socket = sock
        self._open = False
        self._closed = False
        self._yielded = False
        self._said = -_SAY
        sock.setblocking(False)

    def open(self) -> None:
        """Accept connections from here on."""
        if not self._open and not self._closed:
            self._worker.poller.register(self._socket.fileno(), IN, self)
            self._open = True

    def _shut(self) -> None:
        if self._open:
            self._worker.poller.unregister(self._socket.fileno())
            self._open = False

    def close(self) -> None:
        """Accept nothing any more, and give up this worker's copy of the socket."""
        self._shut()
        self._closed = True
        self._socket.close()

    def ready(self, mask: int) -> None:
        """A connection waits. One is accepted, so that the others may take the next one."""
        if not self._yielded and self._worker.counts.ahead():
            self._yielded = True
            self._shut()
            self._worker.loop.call_later(_YIELD, self._resume)
            return
        self._yielded = False
        try:
            connection, peer = self._socket.accept()
            self._worker.accepted(self._listener, connection, peer)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self._pause(error)

    def crashed(self, error: Exception) -> None:
        """Accepting failed in a way that nobody thought of: pause, or it would be tried at full speed."""
        self._worker.report_bug("accepting a connection failed", error)
        self._pause(error)

    def _pause(self, error: Exception) -> None:
        now = self._worker.loop.time()
        if now >= self._said + _SAY:
            self._said = now
            self._worker.journal.event("error", "accept_paused", listener=self._listener.name, error=str(error))
        self._shut()
        self._worker.loop.call_later(_PAUSE, self._resume)

    def _resume(self) -> None:
        try:
            self.open()
        except OSError as error:
            self._pause(error)
