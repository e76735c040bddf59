"""Listeners that fail before a PACS has read a byte: a full queue, and connections reset at once."""

import contextlib
import socket
import threading

from proxy.net.tcp import reset_on_close
from tests.bad_inputs.fake_pacs import PacsSide


class FullBacklog:
    """A port whose queue is full, so that every SYN is dropped as in a black hole, until `open` is called."""

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        self._listening = socket.create_server((host, port), backlog=0)
        self.port = int(self._listening.getsockname()[1])
        self._filler = socket.create_connection((host, self.port))

    def open(self) -> None:
        """Make room in the queue: the next SYN gets in (the kernel repeats them after 1, 3 and 7 seconds)."""
        accepted, _ = self._listening.accept()
        accepted.close()
        self._filler.close()

    def visitor(self, within: float) -> PacsSide:
        """The connection that got in, its request read."""
        self._listening.settimeout(within)
        sock, _ = self._listening.accept()
        side = PacsSide(sock)
        assert side.read_request()
        return side

    def close(self) -> None:
        self._filler.close()
        self._listening.close()


class SlammedDoor:
    """Resets every connection as soon as it is accepted; `dials` counts them."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listening.getsockname()[1])
        self.dials = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                self.dials += 1
                reset_on_close(sock)
                sock.close()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
