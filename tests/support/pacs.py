"""A fake PACS on a raw socket: it accepts any association and then does what the test wants."""

import contextlib
import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from proxy.pdu import PduType, parse_associate_rq
from tests.support.pdus import encode_associate_ac, encode_release_rp
from tests.support.processes import PATIENCE, until
from tests.support.wire import END, Wire

Handler = Callable[["Visit"], None]
_RELEASE_RQ, _ABORT, _P_DATA = (bytes([t]) for t in (PduType.A_RELEASE_RQ, PduType.A_ABORT, PduType.P_DATA_TF))


class Visit:
    """One connection to the PACS. `request` is the A-ASSOCIATE-RQ as received; `ended` is the kind of its end."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.request = b""
        self.pdus: list[bytes] = []  # all PDUs that `until_end` read after the request
        self.digest = hashlib.sha256()  # of the same bytes, where they are many
        self.size = 0
        self.ended = ""  # release, abort, fin, reset, error: ...
        self.done = threading.Event()

    def accept(self, *, trailing: bytes = b"") -> None:
        """Read the request unless that is done, and accept each of its contexts."""
        if not self.request:
            self.request = self.wire.receive_pdu()
        asked = parse_associate_rq(self.request)
        contexts = [(c.context_id, 0, c.transfer_syntaxes[0]) for c in asked.presentation_contexts]
        answer = encode_associate_ac(asked.called.title, asked.calling.title, contexts)
        self.wire.send(answer + trailing)

    def until_end(self, on_pdu: Callable[[bytes], None] = lambda pdu: None, *, keep: bool = True) -> None:
        """Read PDUs to the end; P-DATA go to `on_pdu`, a release is answered."""
        while True:
            pdu = self.wire.receive_pdu()
            if pdu == END:
                self.ended = self.ended or "fin"
                return
            if keep:
                self.pdus.append(pdu)
            self.digest.update(pdu)
            self.size += len(pdu)
            if pdu[:1] == _P_DATA:
                on_pdu(pdu)
            elif pdu[:1] == _RELEASE_RQ:
                self.ended = "release"
                self.wire.send(encode_release_rp())
            elif pdu[:1] == _ABORT:
                self.ended = "abort"


def sink(visit: Visit) -> None:
    """Accept, then read and keep what comes."""
    visit.accept()
    visit.until_end()


def mirror(visit: Visit) -> None:
    """Accept, then send every P-DATA-TF back as it came."""
    visit.accept()
    visit.until_end(visit.wire.send, keep=False)


class Pacs:
    """Listens on `host`; a thread per connection runs `handler`, then closes. `tls`: the context of a server."""

    def __init__(
        self,
        handler: Handler = sink,
        *,
        receive_buffer: int | None = None,
        patience: float = PATIENCE,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        """`patience`: seconds of silence until a handler gives up."""
        self._patience = patience
        self.visits: list[Visit] = []
        self.handler = handler
        self._tls = tls
        self._changed = threading.Condition()
        self._listening = socket.socket()
        if receive_buffer is not None:
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listening.bind((host, 0))
        self._listening.listen(1024)
        self.port = int(self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Pacs":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._listening.close()
        for visit in self.visits:
            with contextlib.suppress(OSError):
                visit.wire.socket.shutdown(socket.SHUT_RDWR)
            visit.done.wait(5)

    @property
    def dials(self) -> int:
        """Connections so far."""
        return len(self.visits)

    def visit(self, number: int = 0) -> Visit:
        """The connection of this number, waited for."""
        until(lambda: len(self.visits) > number, f"connection {number} at the PACS")
        return self.visits[number]

    def ended(self, number: int = 0) -> Visit:
        """The connection of this number, after its handler has ended."""
        visit = self.visit(number)
        assert visit.done.wait(PATIENCE), "the visit goes on"
        return visit

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            visit = Visit(Wire(sock, timeout=self._patience))
            self.visits.append(visit)
            threading.Thread(target=self._handle, args=(visit,), daemon=True).start()

    def _handle(self, visit: Visit) -> None:
        try:
            if self._tls is not None:
                visit.wire.accept_tls(self._tls)
            self.handler(visit)
        except ConnectionResetError:
            visit.ended = visit.ended or "reset"
        except Exception as error:
            visit.ended = visit.ended or f"error: {type(error).__name__}: {error}"
        finally:
            visit.wire.close()
            visit.done.set()


@contextlib.contextmanager
def pacs(handler: Handler = sink, **options: Any) -> Iterator[Pacs]:
    """A fake PACS while the body runs."""
    with Pacs(handler, **options) as server:
        yield server
