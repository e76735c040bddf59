"""The sending half of a leg: TLS or plain, bytes that wait until the peer reads, and the FIN after them."""

import abc
import errno
import socket

from proxy.net.tcp import unacknowledged_bytes
from proxy.tls.endpoint import SLICE, TlsEndpoint


class SendingSide(abc.ABC):
    """Sends on a non-blocking socket. Bytes that the kernel does not take wait here, in order.

    Sizes and counts are of plaintext; the waiting bytes of a TLS leg are ciphertext.
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
        """Act on the end of TLS: the peer has closed it, or it has failed."""

    def send(self, data: memoryview | bytes) -> bool:
        """Send plaintext. Return False if some of it has to wait; `drained` will be called once nothing waits.

        All of it is taken, so a caller that gets False must stop its source. If TLS can send no more, `eof` and
        `tls_failure` are set.
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
        """Send bytes to the wire, after those that wait already."""
        if self.lost is not None or self.closed:
            return  # no peer is left to take them; the end of the leg is reported by reading
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
        """Send as many of the waiting bytes as the kernel takes, and the FIN after the last one if it is due."""
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
        """Drop the waiting bytes: the peer takes nothing more. Bytes that it sent before can still be read."""
        self._waiting.clear()
        self._control_waits = False
        # EPIPE and ECONNRESET end writing only: the peer's last bytes may be an A-ABORT or A-RELEASE-RP worth reading.
        if error.errno not in (errno.EPIPE, errno.ECONNRESET):
            self.lost = error.strerror or str(error)
        self.finished = True  # no FIN can follow, and closing must not wait for one
        self._update()

    def finish(self) -> None:
        """Send close_notify and FIN after the waiting bytes: nothing more will be sent. Reading goes on."""
        if self._finishing or self.closed:
            return
        self._finishing = True
        if self._waiting:
            return
        self._shut()

    def _shut(self) -> None:
        """Send close_notify, then FIN. Called again by `_flush` if the close_notify has to wait."""
        if self.tls is not None and self.tls.failure is None and not self._close_notify:
            self._close_notify = True
            # `close` is safe only once everything fed to TLS has been decrypted: with data inside, OpenSSL's shutdown
            # leaves the object in an error state. The callback that feeds it drains it, so at most a part of a record
            # is inside.
            self.tls.close()
            if self.tls.has_output:
                self._write(self.tls.output())
                if self._waiting:
                    return  # a FIN before the close_notify would look like truncation to the peer
        self.finished = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # already gone

    def undelivered(self) -> int:
        """Return the number of wire bytes not yet acknowledged by the peer's kernel; 0 once the connection is gone."""
        if self.closed or self.lost is not None:
            return 0
        return unacknowledged_bytes(self.socket) + sum(len(chunk) for chunk in self._waiting)
