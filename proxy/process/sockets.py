"""Listening sockets: bound by the process that starts, handed to whoever accepts."""

import errno
import socket
from collections.abc import Mapping

from proxy.config.values import Config

# SYNs and connections that wait while every worker is busy; the kernel caps it at net.core.somaxconn.
_BACKLOG = 4096


class BindError(Exception):
    """An address cannot be listened on; the text says which and why."""


def bind(config: Config) -> Mapping[str, list[socket.socket]]:
    """Listener name -> its listening sockets. Raises `BindError`, with nothing left open."""
    sockets: dict[str, list[socket.socket]] = {listener.name: [] for listener in config.listeners}
    try:
        for listener in config.listeners:
            for host, port in listener.bind:
                sockets[listener.name].append(_listen(listener.name, host, port))
    except BindError:
        close(sockets)
        raise
    return sockets


def close(sockets: Mapping[str, list[socket.socket]]) -> None:
    """Close all of them."""
    for group in sockets.values():
        for sock in group:
            sock.close()


def _listen(listener: str, host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise BindError(f"listener {listener}: cannot listen on {host}:{port}: {error.strerror}") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `[::]` and `0.0.0.0` are bound side by side, whatever net.ipv6.bindv6only says.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise BindError(
            f"listener {listener}: cannot listen on {host}:{port}: {error.strerror}{_hint(error, port)}"
        ) from None
    return sock


def _hint(error: OSError, port: int) -> str:
    """What to look at, or ""."""
    match error.errno:
        case errno.EADDRINUSE:
            return f" (`ss -ltnp 'sport = :{port}'` shows by whom)"
        case errno.EADDRNOTAVAIL:
            return " (no interface of this machine has that address: `ip address` shows what they have)"
        case errno.EACCES:
            return " (ports below 1024 need CAP_NET_BIND_SERVICE)"
        case _:
            return ""
