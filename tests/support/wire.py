"""A TCP connection that a test holds byte by byte: plain or TLS, PDUs in and out, and every way to end it."""

import contextlib
import socket
import ssl
import struct
import threading
from types import TracebackType

from proxy.net.tcp import unacknowledged_bytes
from tests.support.processes import PATIENCE, until

_SLICE = 64 * 1024
_HEADER = 6  # PDU type, reserved, length (PS3.8 Table 9-11)
END = b""  # what `receive_pdu` gives at the end of the stream


class Wire:
    """One end of a connection. TLS runs over memory, so that its records can be sent, cut or left out.

    One thread may send while another receives. `peer_closed_tls`: a close_notify came before the end.
    """

    def __init__(self, sock: socket.socket, *, timeout: float = PATIENCE) -> None:
        self.socket = sock
        self.socket.settimeout(timeout)
        self.tls: ssl.SSLObject | None = None
        self.peer_closed_tls = False
        self.received = b""
        self._lock = threading.Lock()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    # --- TLS --------------------------------------------------------------------------------------------------------

    def start_tls(
        self, context: ssl.SSLContext, server_name: str | None = None, session: ssl.SSLSession | None = None
    ) -> None:
        """The handshake as a client. Raises ssl.SSLError with the alert of the server."""
        self.tls = context.wrap_bio(self._incoming, self._outgoing, False, server_name, session)
        self._shake_hands()

    def accept_tls(self, context: ssl.SSLContext) -> None:
        """The handshake as a server. Raises ssl.SSLError with the alert of the client."""
        self.tls = context.wrap_bio(self._incoming, self._outgoing, True)
        self._shake_hands()

    def _shake_hands(self) -> None:
        assert self.tls is not None
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not self._feed():
                    raise ConnectionError("closed during the TLS handshake") from None
            except ssl.SSLError:
                self._flush()
                raise
            else:
                self._flush()
                return

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.socket.sendall(self._outgoing.read())

    def _feed(self) -> bool:
        data = self.socket.recv(_SLICE)
        with self._lock:
            self._incoming.write(data)
        return bool(data)

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt the data without sending it."""
        assert self.tls is not None
        with self._lock:
            self.tls.write(data)
            return self._outgoing.read()

    # --- bytes ------------------------------------------------------------------------------------------------------

    def send(self, data: bytes | memoryview) -> None:
        """Send all of the data."""
        if self.tls is None:
            self.socket.sendall(data)
            return
        view = memoryview(data)
        for start in range(0, len(view), _SLICE):
            self.socket.sendall(self.encrypt(bytes(view[start : start + _SLICE])))

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are, beside TLS."""
        self.socket.sendall(data)

    def receive(self, size: int = _SLICE) -> bytes:
        """The next bytes, at most `size`; empty at FIN or close_notify. Raises ConnectionResetError at RST."""
        if self.received:
            data, self.received = self.received[:size], self.received[size:]
            return data
        if self.tls is None:
            return self.socket.recv(size)
        while True:
            try:
                with self._lock:
                    data = self.tls.read(size)
            except ssl.SSLWantReadError:
                if not self._feed():
                    return b""
            except ssl.SSLZeroReturnError:
                self.peer_closed_tls = True
                return b""
            else:
                self.peer_closed_tls |= not data
                return data

    def receive_exactly(self, size: int) -> bytes:
        """`size` bytes, or fewer if the stream ends before."""
        parts = []
        while size and (data := self.receive(size)):
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def receive_pdu(self) -> bytes:
        """One whole PDU, or END. Fails if the stream ends inside one."""
        header = self.receive_exactly(_HEADER)
        if not header:
            return END
        length = int.from_bytes(header[2:], "big")
        body = self.receive_exactly(length)
        assert len(header) == _HEADER and len(body) == length, f"the stream ends inside a PDU: {(header + body)[:32]!r}"
        return header + body

    def receive_all(self) -> bytes:
        """All bytes up to the end of the stream, or up to a RST."""
        parts = []
        with contextlib.suppress(ConnectionError):
            while data := self.receive():
                parts.append(data)
        return b"".join(parts)

    # --- ends -------------------------------------------------------------------------------------------------------

    def close_notify(self) -> None:
        """Send a close_notify."""
        assert self.tls is not None
        with self._lock:
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLSyscallError):
                self.tls.unwrap()
            data = self._outgoing.read()
        self.socket.sendall(data)

    def fin(self) -> None:
        """TCP FIN, without close_notify; reading goes on."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send a TCP RST after all sent bytes are acknowledged: it would discard what has not arrived yet."""
        until(lambda: not unacknowledged_bytes(self.socket), "all that was sent is acknowledged")
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()
