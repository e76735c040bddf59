"""The sending half of a leg: TLS or plain, what has to wait until the peer reads, and the FIN after it."""

import abc
import errno
import socket

from proxy.net.tcp import unacknowledged_bytes
from proxy.tls.endpoint import SLICE, TlsEndpoint


class SendingSide(abc.ABC):
    """Sends on a non-blocking socket. What the kernel does not take waits here and goes first.

    Sizes and counts are of plaintext; what waits on a TLS leg is ciphertext.
    """

    __slots__ = (
        "_close_notify",
        "_control_waits",
        "_finishing",
        "_waiting",
        "closed",
        "finished",
        "lost",
        "sent",
        "socket",
        "tls",
    )

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.tls: TlsEndpoint | None = None
        self.sent = 0
        self.lost: str | None = None  # how the connection broke, in the words of the system
        self.finished = False  # our FIN is sent
        self.closed = False
        self._waiting: list[memoryview] = []  # a list: it is mostly empty, and an empty deque takes ten times as much
        self._control_waits = False  # part of what waits comes from TLS itself: the answer to a KeyUpdate, or an alert
        self._finishing = False
        self._close_notify = False

    @abc.abstractmethod
    def _update(self) -> None:
        """Tell the poller what this leg waits for."""

    @abc.abstractmethod
    def _tls_ended(self) -> None:
        """TLS was closed by the peer, or failed."""

    def send(self, data: memoryview | bytes) -> bool:
        """Send plaintext. Return False if some of it has to wait; `drained` will be called once nothing waits.

        Nothing is ever refused. If TLS can send no more, `eof` and `tls_failure` are set.
        """
        size = len(data)
        self.sent += size
        if self.tls is None:
            self._write(data)
        elif self.tls.failure is None:
            # In slices: a MemoryBIO never shrinks, so one large write would keep its memory as long as the connection.
            view = memoryview(data)
            for start in range(0, size, SLICE):
                if not self.tls.encrypt(view[start : start + SLICE]):
                    self._tls_ended()
                    break
                self._write(self.tls.output())
        return not self._waiting

    def send_raw(self, data: bytes) -> bool:
        """Send bytes to the wire as they are: a TLS handshake, an alert."""
        self._write(data)
        return not self._waiting

    @property
    def waiting(self) -> bool:
        """True while something has to wait until the peer reads."""
        return bool(self._waiting)

    def _write(self, data: memoryview | bytes) -> None:
        if self.lost is not None or self.closed:
            return
        if not self._waiting:
            try:
                sent = self.socket.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                self._write_failed(error)
                return
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
        self._waiting.append(memoryview(bytes(data)))  # a copy: `data` is a view into a shared buffer
        self._update()

    def _flush(self) -> None:
        waiting = self._waiting
        while waiting:
            head = waiting[0]
            try:
                sent = self.socket.send(head)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._write_failed(error)
                return
            if sent < len(head):
                waiting[0] = head[sent:]
                return
            del waiting[0]
        self._control_waits = False
        if self._finishing:
            self._shut()

    def _write_failed(self, error: OSError) -> None:
        """Drop what waits: the peer takes nothing more. What it sent before can still be read."""
        self._waiting.clear()
        self._control_waits = False
        # EPIPE and ECONNRESET end writing only: the peer's last bytes may be an A-ABORT or A-RELEASE-RP worth reading.
        if error.errno not in (errno.EPIPE, errno.ECONNRESET):
            self.lost = error.strerror or str(error)
        self.finished = True
        self._update()

    def finish(self) -> None:
        """Send close_notify and FIN after what waits: nothing more will be sent. Reading goes on."""
        if self._finishing or self.closed:
            return
        self._finishing = True
        if self._waiting:
            return
        self._shut()

    def _shut(self) -> None:
        if self.tls is not None and self.tls.failure is None and not self._close_notify:
            self._close_notify = True
            # Closing is safe only once everything fed to TLS has been decrypted; otherwise the object is poisoned. The
            # callback that feeds it drains it, so at most a part of a record is inside.
            self.tls.close()
            if self.tls.has_output:
                self._write(self.tls.output())
                if self._waiting:
                    return  # `_flush` comes back here
        self.finished = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # already gone

    def undelivered(self) -> int:
        """Return the bytes on the wire that the peer's kernel has not acknowledged; 0 once the connection is gone."""
        if self.closed or self.lost is not None:
            return 0
        return unacknowledged_bytes(self.socket) + sum(len(chunk) for chunk in self._waiting)
