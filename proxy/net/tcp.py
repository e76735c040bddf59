"""What association sockets ask of Linux TCP, beyond reading and writing."""

import fcntl
import socket
import struct
import termios

_LINGER_ZERO = struct.pack("ii", 1, 0)
_TCP_CLOSE = 7  # tcpi_state, the first byte of struct tcp_info
_LARGEST_INT = 2**31 - 1  # of milliseconds: 24 days
_KEEPALIVE_IDLE = 60  # seconds of silence before the kernel probes


def tune(sock: socket.socket, unacknowledged: float) -> None:
    """Options of every association socket: no Nagle, keepalive, and an end to a peer that acknowledges nothing.

    `unacknowledged` in seconds. At a few seconds it would kill a slow but living PACS.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, min(int(unacknowledged * 1000), _LARGEST_INT))


def acknowledge_promptly(sock: socket.socket) -> None:
    """Have what was read acknowledged now. Not sticky, so it is said again after every short read.

    DCMTK sends a response in two pieces, and Nagle's algorithm holds the second one back until the first is
    acknowledged, for 40 ms if we let the kernel delay that.
    """
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    except OSError:
        pass  # the connection broke meanwhile: the next read says so


def unacknowledged_bytes(sock: socket.socket) -> int:
    """Bytes that were sent and that the peer's kernel has not acknowledged; 0 once the connection is gone."""
    try:
        # After a RST the kernel goes on counting what it never sent.
        if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE:
            return 0
        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except OSError:
        return 0


def reset_on_close(sock: socket.socket) -> None:
    """Make the next close a RST."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    except OSError:
        pass  # nothing is left to reset
