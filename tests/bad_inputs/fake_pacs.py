"""A PACS that counts its connections, keeps every byte, and leaves single connections to the test.

The connection of a requestor whose calling AE title begins with HANDOVER goes to the test, its request read and
not answered. All others are served: contexts accepted (except those of MR storage), C-ECHO and release answered.
"""

import contextlib
import queue
import socket
import struct
import threading

from proxy.dimse.command import C_ECHO
from proxy.dimse.echo import encode_c_echo_rq
from proxy.net.tcp import reset_on_close, unacknowledged_bytes
from proxy.pdu import parse_associate_rq
from proxy.pdu.encode import encode_p_data
from tests.support import pdus
from tests.support.pdus import encode_release_rp
from tests.support.processes import PATIENCE, until

REJECTED = pdus.MR_IMAGE_STORAGE


class PacsSide:
    """One connection from the gateway: `request` as it came, `received` all bytes after it."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.request = b""
        self.received = bytearray()
        self.ended = threading.Event()
        self.end = ""  # fin or reset
        self._parsed = 0
        sock.settimeout(PATIENCE)

    @property
    def calling(self) -> str:
        return self.request[26:42].decode("latin-1").strip()

    def read_request(self) -> bool:
        """Read one PDU; return whether it came."""
        while len(self.received) < 6 or len(self.received) < 6 + int.from_bytes(self.received[2:6], "big"):
            if not self.read():
                return False
        total = 6 + int.from_bytes(self.received[2:6], "big")
        self.request = bytes(self.received[:total])
        del self.received[:total]
        return True

    def answer(self) -> bytes:
        """The A-ASSOCIATE-AC to the request."""
        request = parse_associate_rq(self.request)
        items = [
            pdus.answer(c.context_id, 3 if c.abstract_syntax == REJECTED else 0, c.transfer_syntaxes[0])
            for c in request.presentation_contexts
        ]
        items = [pdus.APPLICATION, *items, pdus.user_information()]
        return pdus.associate_ac(*items, called=self.request[10:26], calling=self.request[26:42])

    def accept(self) -> None:
        self.send(self.answer())

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # the gateway ended the connection: the test checks that

    def read(self) -> bool:
        """Read once; False at the end, which is then known."""
        if self.end:
            return False
        try:
            data = self.socket.recv(1 << 18)
        except OSError as error:
            self.end = "reset" if isinstance(error, ConnectionResetError) else str(error)
            self.ended.set()
            return False
        if not data:
            self.end = "fin"
            self.ended.set()
            return False
        self.received += data
        return True

    def read_to_end(self) -> bytes:
        """All bytes until the gateway ends the connection; the socket is closed then."""
        while self.read():
            pass
        self.socket.close()
        return bytes(self.received)

    def wait_end(self) -> bytes:
        """Wait until the gateway has ended a served connection; return all bytes after the request."""
        assert self.ended.wait(PATIENCE), f"the gateway does not end the connection: {len(self.received)} bytes"
        return bytes(self.received)

    def reset(self) -> None:
        """Send a RST after all sent bytes are acknowledged: it would discard what has not arrived yet."""
        until(lambda: not unacknowledged_bytes(self.socket), "all that was sent is acknowledged", PATIENCE)
        reset_on_close(self.socket)
        self.socket.close()

    def die(self) -> None:
        """RST from beside a thread that reads, which does the closing."""
        reset_on_close(self.socket)
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RD)

    # --- serving ----------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        self.socket.settimeout(None)
        self.accept()
        while self.read():
            if not self._answer_all():
                break
        while self.read():
            pass
        self.socket.close()

    def _answer_all(self) -> bool:
        """Answer the PDUs that are whole; False after a release."""
        while len(self.received) - self._parsed >= 6:
            start = self._parsed
            total = 6 + int.from_bytes(self.received[start + 2 : start + 6], "big")
            if len(self.received) - start < total:
                break
            self._parsed += total
            pdu = memoryview(self.received)[start : start + total]
            kind, command = pdu[0], bytes(pdu[12:200])
            pdu.release()  # a bytearray that is looked at cannot grow
            if kind == 5:
                self.send(encode_release_rp())
                with contextlib.suppress(OSError):  # the gateway is gone already
                    self.socket.shutdown(socket.SHUT_WR)
                return False
            if kind == 4 and len(command) > 40 and command[46:48] == C_ECHO.to_bytes(2, "little"):
                self.send(encode_p_data(self.received[start + 10], 3, echo_response(command)))
        return True


def echo_response(command: bytes) -> bytes:
    """The C-ECHO-RSP to a request made by `encode_c_echo_rq`: command field, message id and status (PS3.7 9.3.5)."""
    message_id = int.from_bytes(command[56:58], "little")
    asked = encode_c_echo_rq(message_id)
    head = asked[12:-30]  # affected SOP class UID
    body = head + b"".join(
        struct.pack("<HHLH", 0, element, 2, value)
        for element, value in ((0x0100, 0x8030), (0x0120, message_id), (0x0800, 0x0101), (0x0900, 0))
    )
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


class FakePacs:
    """Listens on a port; `dials` counts connections, `sides` holds them by calling AE title."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.port = port
        self.dials = 0
        self._served: set[PacsSide] = set()
        self._sides: dict[str, queue.Queue[PacsSide]] = {}
        self._lock = threading.Lock()
        self._listening = socket.create_server((host, port), backlog=256)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def side(self, calling: str) -> PacsSide:
        """The next connection for a requestor of this title."""
        try:
            return self._queue(calling).get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"{calling} has not come to the PACS within {PATIENCE:g} s") from None

    def _queue(self, calling: str) -> "queue.Queue[PacsSide]":
        with self._lock:
            return self._sides.setdefault(calling, queue.Queue())

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            self.dials += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._converse, args=(PacsSide(sock),), daemon=True).start()

    def _converse(self, side: PacsSide) -> None:
        if not side.read_request():
            side.socket.close()
            return
        self._queue(side.calling).put(side)
        if not side.calling.startswith("HANDOVER"):
            self._served.add(side)
            side.serve()
            self._served.discard(side)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(PATIENCE)

    def die(self) -> None:
        """Act like a killed process: stop to listen, and reset each served connection."""
        self.close()
        for side in tuple(self._served):
            side.die()
