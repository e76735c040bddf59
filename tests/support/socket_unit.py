"""Socket activation: a unit that owns listening sockets and hands them to the gateways that it starts (LISTEN_FDS)."""

import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.support.gateway import Gateway, Record
from tests.support.processes import PATIENCE

#: As systemd does it: the descriptors from 3 on, and the process id of the very process that is started. They come over
#: a Unix socket, because the test keeps them as systemd would.
LAUNCHER = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as manager:
    manager.connect(sys.argv[1])
    descriptors = socket.recv_fds(manager, 1, 16)[1]
    for number, descriptor in enumerate(descriptors, 3):
        os.dup2(descriptor, number)
    manager.detach()
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(descriptors)), LISTEN_FDNAMES="dicom")
os.execv(sys.argv[2], sys.argv[2:])
"""


class Unit:
    """A socket unit: it binds and keeps sockets, and hands them to each gateway that it starts."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        self.sockets = [socket.create_server(("127.0.0.1", port), backlog=512) for port in ports]
        self._folder = folder
        self._handing = socket.socket(socket.AF_UNIX)
        self._handing.bind(str(folder / "unit"))
        self._handing.listen()
        self._thread = threading.Thread(target=self._hand_over, daemon=True)
        self._thread.start()

    def start(self, config: Record, *, launcher: Sequence[str] = (), folder: str = "gateway") -> Gateway:
        hand_over = (sys.executable, "-c", LAUNCHER, str(self._folder / "unit"))
        return Gateway(self._folder / folder, config, launcher=(*launcher, *hand_over))

    def close(self) -> None:
        self._handing.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        for sock in (self._handing, *self.sockets):
            sock.close()

    def _hand_over(self) -> None:
        while True:
            try:
                asking, _ = self._handing.accept()
            except OSError:
                return
            with asking:
                socket.send_fds(asking, [b"!"], [sock.fileno() for sock in self.sockets])
