"""systemd's readiness protocol and socket activation: `sd_notify(3)` and `sd_listen_fds(3)`, without the library."""

import os
import socket
import time
from collections.abc import MutableMapping

_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START


class Notifier:
    """Reports the state of the gateway to the service manager, if there is one (NOTIFY_SOCKET)."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # an abstract socket, which has no file (unix(7))
            self._address = "\0" + self._address[1:]

    def ready(self, status: str) -> None:
        """Report that connections are accepted; also the end of a reload."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Report that a reload has begun. Type=notify-reload requires the time (systemd.service(5))."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """Report that the gateway is ending."""
        self._send(f"STOPPING=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """Show a line in `systemctl status`."""
        self._send(f"STATUS={text}")

    def alive(self) -> None:
        """Reset the watchdog (WatchdogSec=)."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            try:
                sock.setblocking(False)  # a stopped service manager must not block the gateway
                sock.sendto(message.encode(), self._address)
            except OSError:
                pass  # the service manager has ended or its queue is full: go on serving


def inherited_sockets(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """Return the listening sockets passed to this process. Unset their variables, so that workers do not see them."""
    try:
        mine = int(environ.get("LISTEN_PID", "0")) == os.getpid()
        count = int(environ.get("LISTEN_FDS", "0"))
    except ValueError:
        return []
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        environ.pop(name, None)
    if not mine:  # inherited from a parent that the sockets were meant for
        return []
    sockets = []
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + count):
        os.set_inheritable(descriptor, False)  # systemd passes them without FD_CLOEXEC
        sockets.append(socket.socket(fileno=descriptor))
    return sockets
