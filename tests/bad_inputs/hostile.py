"""A peer that does as it likes: a socket from an address of its own, plain or TLS, byte by byte where a test wants it.

TLS runs over two BIOs, so that a test can cut, delay, repeat or replace what goes on the wire.
"""

import fcntl
import re
import socket
import ssl
import struct
import termios
import time

from proxy.dimse.echo import decode_c_echo_rsp, encode_c_echo_rq
from proxy.pdu.encode import encode_p_data
from tests.support import tls_pair
from tests.support.certs import Issued

OPEN = "open.example.org"  # the tenant that asks for nothing
SOON = 8.0  # seconds for what must come at once, on a machine that is shared with much else

_ALERT = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?(.+)")
_ALERTS = {
    10: "unexpected_message",
    40: "handshake_failure",
    47: "illegal_parameter",
    50: "decode_error",
    70: "protocol_version",
    86: "inappropriate_fallback",
    109: "missing_extension",
    112: "unrecognized_name",
}


def alert_in(wire: bytes) -> str:
    """The name of the fatal alert that is all of `wire` (RFC 8446 section 6), in a plaintext record."""
    assert len(wire) == 7 and wire[0] == 21 and wire[3:6] == b"\0\2\2", f"no fatal alert: {wire[:64].hex()}"
    return _ALERTS[wire[6]]


class Peer:
    """A TCP connection to the gateway. `end` is the gateway's end of it: "fin", "reset", or None so far."""

    def __init__(self, port: int, address: str) -> None:
        self.address = address
        self.end: str | None = None
        self.opened = time.monotonic()
        self.plain = bytearray()  # received and not yet taken
        self.socket = socket.socket()
        self.socket.bind((address, 0))
        self.socket.settimeout(SOON)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # --- sending ----------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send what the other side shall read."""
        self.send_wire(data)

    def send_wire(self, data: bytes) -> None:
        """Send bytes as they are; a connection that is closed already is no error of the test."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def unacknowledged(self) -> int:
        """Bytes that the gateway's kernel has not taken."""
        return int(struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4)))[0])

    def wait_acknowledged(self) -> None:
        """Wait until the gateway's kernel has all sent bytes, so that the next ones come in another segment."""
        deadline = time.monotonic() + SOON
        while self.unacknowledged():
            assert time.monotonic() < deadline, f"{self.unacknowledged()} bytes are not acknowledged"
            time.sleep(0.0001)

    def fin(self) -> None:
        """FIN, without any close_notify."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()

    # --- receiving --------------------------------------------------------------------------------------------------

    def receive(self, within: float = SOON) -> bool:
        """Wait for more; False at the end of the connection."""
        if self.end is not None:
            return False
        self.socket.settimeout(max(within, 0.001))
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            self.end = "reset"
            return False
        except TimeoutError:
            raise AssertionError(
                f"nothing came within {within:.1f} s; so far: {bytes(self.plain[:64]).hex()}"
            ) from None
        if not data:
            self.end = "fin"
            return False
        self.arrived(data)
        return True

    def arrived(self, wire: bytes) -> None:
        """Bytes came."""
        self.plain += wire

    def rest(self, within: float = SOON) -> bytes:
        """All that comes until the gateway ends the connection."""
        deadline = time.monotonic() + within
        while self.receive(deadline - time.monotonic()):
            pass
        return self.take(len(self.plain))

    def take(self, count: int) -> bytes:
        data = bytes(self.plain[:count])
        del self.plain[:count]
        return data

    def pdu(self, within: float = SOON) -> bytes:
        """The next PDU, whole; b"" where the connection ends instead."""
        deadline = time.monotonic() + within
        total = 6
        while len(self.plain) < total or len(self.plain) < (total := 6 + int.from_bytes(self.plain[2:6], "big")):
            if not self.receive(deadline - time.monotonic()):
                assert not self.plain, f"ended inside a PDU: {bytes(self.plain).hex()}"
                return b""
        return self.take(total)

    # --- what the gateway may say -----------------------------------------------------------------------------------

    def associate(self, request: bytes) -> bytes:
        """Send the request and get the A-ASSOCIATE-AC."""
        self.send(request)
        return self.accepted()

    def accepted(self, within: float = SOON) -> bytes:
        answer = self.pdu(within)
        assert answer[:1] == b"\x02", f"no A-ASSOCIATE-AC: {answer.hex()} {self.end}"
        return answer

    def rejected(self, within: float = SOON) -> str:
        """Result, source and reason of the A-ASSOCIATE-RJ, which must be the gateway's last PDU."""
        answer = self.pdu(within)
        assert answer[:6] == b"\x03\0\0\0\0\x04", f"no A-ASSOCIATE-RJ: {answer.hex()} {self.end}"
        assert self.rest() == b"" and self.end == "fin", self.end
        return "/".join(str(code) for code in answer[7:10])

    def aborted(self, within: float = SOON) -> str:
        """Source and reason of the A-ABORT, which must be the gateway's last PDU."""
        answer = self.pdu(within)
        assert answer[:6] == b"\x07\0\0\0\0\x04", f"no A-ABORT: {answer.hex()} {self.end}"
        assert self.rest() == b"" and self.end == "fin", self.end
        return f"{answer[8]}/{answer[9]}"

    def closed(self, within: float = SOON) -> float:
        """The gateway closes without a word; seconds since the connection was opened."""
        said = self.rest(within)
        assert said == b"" and self.end == "fin", f"{said[:64].hex()} {self.end}"
        return time.monotonic() - self.opened

    def echo(self, context_id: int = 1) -> float:
        """Send one C-ECHO; return the seconds until its answer."""
        started = time.perf_counter()
        self.send(encode_p_data(context_id, 3, encode_c_echo_rq(7)))
        answer = self.pdu()
        took = time.perf_counter() - started
        assert answer[:1] == b"\x04" and decode_c_echo_rsp(answer[12:], 7) == 0, answer.hex()
        return took

    def release(self) -> None:
        """A-RELEASE-RQ, its answer, and the end."""
        self.send(b"\x05\0\0\0\0\x04\0\0\0\0")
        assert self.pdu() == b"\x06\0\0\0\0\x04\0\0\0\0", self.end
        self.close()


class TlsPeer(Peer):
    """A TLS client. `alert` is the name of the fatal alert it received; `close_notify` is True after one was read."""

    def __init__(
        self,
        port: int,
        address: str,
        context: ssl.SSLContext | None = None,
        server_name: str | None = OPEN,
        session: ssl.SSLSession | None = None,
    ) -> None:
        super().__init__(port, address)
        self.alert: str | None = None
        self.close_notify = False
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or tls_pair.client()).wrap_bio(
            self.incoming, self.outgoing, server_hostname=server_name, session=session
        )
        self._secured = False

    def hello(self) -> bytes:
        """The ClientHello, not sent."""
        self._step()
        return self.outgoing.read()

    def flight(self) -> bytes:
        """The bytes that TLS wants to send next, after reading as much as it needs; not sent."""
        while not self._secured and not self.outgoing.pending and self.alert is None and self.receive():
            pass
        return self.outgoing.read()

    def handshake(self) -> bool:
        """Do the whole handshake; return False if the gateway refused it (see `alert` and `end`)."""
        self._step()
        self.send_wire(self.outgoing.read())
        while not self._secured and self.alert is None and self.receive():
            self.send_wire(self.outgoing.read())
        return self._secured

    def _step(self) -> None:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            self._failed(error)
            return
        self._secured = True

    def _failed(self, error: ssl.SSLError) -> None:
        alert = _ALERT.fullmatch(error.reason or "")
        assert alert is not None, f"the gateway's TLS is not understood: {error}"
        self.alert = alert[1].lower()

    def arrived(self, wire: bytes) -> None:
        self.incoming.write(wire)
        if not self._secured:
            self._step()
        while self._secured and self.alert is None and not self.close_notify:
            try:
                data = self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                self.close_notify = True
            except ssl.SSLError as error:
                self._failed(error)
            else:
                self.close_notify = not data
                self.plain += data

    def seal(self, data: bytes) -> bytes:
        """The ciphertext of `data`, not sent."""
        self.tls.write(data)
        return self.outgoing.read()

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, len(view), 1 << 16):
            self.tls.write(view[start : start + (1 << 16)])
            self.send_wire(self.outgoing.read())

    def close_tls(self) -> bytes:
        """The bytes of our close_notify, not sent."""
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # theirs has not come
        return self.outgoing.read()

    def refused_by_alert(self, within: float = SOON) -> str:
        """The alert by which the gateway ends the connection, perhaps after our side of the handshake was done."""
        if not self._secured and self.alert is None:
            self.handshake()
        said = self.rest(within)
        assert said == b"" and self.alert is not None, f"no alert: {said[:64].hex()} {self.end}"
        return self.alert


def client(certificate: Issued | None = None, version: str = "", **more: str | bytes | None) -> ssl.SSLContext:
    """A client context; `version` "1.2" or "1.3" offers that one alone."""
    named = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2}
    one = named.get(version, ssl.TLSVersion.TLSv1_3)
    span = {"minimum": one, "maximum": one} if version else {}
    return tls_pair.client(certificate, **span, **more)  # type: ignore[arg-type]
