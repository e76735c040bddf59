"""Options and state of association sockets in Linux TCP."""

import fcntl
import socket
import struct
import termios

_LINGER_ZERO = struct.pack("ii", 1, 0)
_TCP_CLOSE = 7  # tcpi_state, the first byte of struct tcp_info
_LARGEST_INT = 2**31 - 1  # of milliseconds: 24 days
_KEEPALIVE_IDLE = 60  # seconds of silence before the kernel probes


def tune(sock: socket.socket, unacknowledged: float) -> None:
    """Set the options of every association socket: no Nagle, keepalive, an end to a peer that acknowledges nothing.

    `unacknowledged`: seconds of TCP_USER_TIMEOUT. A few seconds would end the connection of a slow PACS that works.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, min(int(unacknowledged * 1000), _LARGEST_INT))


def acknowledge_promptly(sock: socket.socket) -> None:
    """Acknowledge the bytes read, now. The option is not sticky: it is set again after every short read.

    DCMTK sends a response in two pieces. Nagle's algorithm holds back the second piece until the first one is
    acknowledged, and the kernel delays that acknowledgement by 40 ms.
    """
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    except OSError:
        pass  # the connection broke meanwhile: the next read reports it


def unacknowledged_bytes(sock: socket.socket) -> int:
    """Return the bytes sent that the peer's kernel has not acknowledged; 0 once the connection is closed or reset."""
    try:
        # After a RST the kernel still counts bytes that it never sent.
        if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE:
            return 0
        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except OSError:
        return 0


def reset_on_close(sock: socket.socket) -> None:
    """Make the next close send a RST."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    except OSError:
        pass  # nothing is left to reset
