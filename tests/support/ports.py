"""Free ports for servers, below the range from which the kernel takes the local ports of outgoing connections.

Each process has a block of them for itself, so that runs beside each other never hand out the same port between the
look at it and the start of its server. An abstract socket reserves a block: it is seen by the same processes as its
ports (both belong to the network namespace), and gone with the process.
"""

import functools
import itertools
import os
import socket
from collections.abc import Iterator

_FIRST, _BLOCK, _BLOCKS = 12_000, 1_000, 20  # net.ipv4.ip_local_port_range begins at 32768


def free_port(host: str = "127.0.0.1") -> int:
    """A port without a listener. It is not returned again soon, neither in this process nor in another one."""
    for port in _candidates():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable")


@functools.cache
def _candidates() -> Iterator[int]:
    """The ports of our block, again and again."""
    for number in range(_BLOCKS):
        block = (os.getpid() + number) % _BLOCKS
        held = socket.socket(socket.AF_UNIX)
        try:
            held.bind(f"\0dicomgate-test-ports-{block}")
        except OSError:
            held.close()
            continue
        held.detach()  # open while the process lives
        first = _FIRST + block * _BLOCK
        return itertools.cycle(range(first, first + _BLOCK))
    raise AssertionError(f"{_BLOCKS} processes hold blocks of ports already")
