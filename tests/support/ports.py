"""Free ports for servers, below the range from which the kernel takes the local ports of outgoing connections."""

import itertools
import os
import socket

_FIRST, _COUNT = 12_000, 18_000  # net.ipv4.ip_local_port_range begins at 32768
_candidates = itertools.count(os.getpid() * 97)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on. No call of this process returns it again soon."""
    for number in _candidates:
        port = _FIRST + number % _COUNT
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable")
