"""Listening sockets: bound once by the supervisor or taken from systemd, shared by all workers of all generations.

Workers accept from the same sockets. With SO_REUSEPORT each worker would have its own queue, and the connections that
wait in the queue of a worker that dies or retires would be lost.
"""

import errno
import ipaddress
import socket
from collections.abc import Mapping, Sequence

from proxy.config.values import Config

#: Connections that may wait while every worker is busy. The kernel caps it at net.core.somaxconn, 4096 by default.
_BACKLOG = 4096

_Address = tuple[str, int]


class BindError(Exception):
    """An address cannot be bound. The text names the address and the cause."""


class ListeningSockets:
    """One socket for each address under `bind`, kept over reloads with its queue of waiting connections."""

    def __init__(self, inherited: Sequence[socket.socket] = ()) -> None:
        self._inherited = {_address_of(sock): sock for sock in inherited}
        self._bound: dict[_Address, socket.socket] = {}

    @property
    def inherited(self) -> bool:
        """Return whether systemd owns the sockets. It keeps them open while no gateway runs."""
        return bool(self._inherited)

    def open(self, config: Config) -> Mapping[str, list[socket.socket]]:
        """Bind the addresses that are not bound yet. Return the sockets by listener name.

        Raises `BindError`; then none of the new addresses stays bound. A bound address is never bound again, so its
        queue of waiting connections survives a reload.
        """
        new: list[_Address] = []
        sockets: dict[str, list[socket.socket]] = {listener.name: [] for listener in config.listeners}
        try:
            for listener in config.listeners:
                for host, port in listener.bind:
                    address = _normal(host, port)
                    if address not in self._bound:
                        self._bound[address] = self._inherited.get(address) or _listen(listener.name, host, port)
                        new.append(address)
                    sockets[listener.name].append(self._bound[address])
        except BindError:
            for address in new:
                self._release(address)
            raise
        return sockets

    def keep_only(self, config: Config) -> None:
        """Close the sockets that this configuration does not bind."""
        wanted = {_normal(host, port) for listener in config.listeners for host, port in listener.bind}
        for address in list(self._bound):
            if address not in wanted:
                self._release(address)

    def unused(self) -> list[str]:
        """Return the addresses of systemd's sockets that no listener binds."""
        return [f"{host}:{port}" for host, port in self._inherited if (host, port) not in self._bound]

    def close(self) -> None:
        """Close all sockets."""
        for sock in (*self._bound.values(), *self._inherited.values()):
            sock.close()
        self._bound.clear()

    def _release(self, address: _Address) -> None:
        sock = self._bound.pop(address)
        # Keep systemd's open: a later configuration may use it again, and this process cannot reopen it.
        if address not in self._inherited:
            sock.close()


def _normal(host: str, port: int) -> _Address:
    """Return one form for all spellings of an IPv6 address."""
    return str(ipaddress.ip_address(host)), port


def _address_of(sock: socket.socket) -> _Address:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        raise BindError(f"systemd passed a socket of {sock.family.name}: ListenStream= must be an address and a port")
    host, port = sock.getsockname()[:2]
    return _normal(host, port)


def _listen(listener: str, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    except OSError as error:
        raise BindError(f"listener {listener}: cannot listen on {host}:{port}: {error.strerror}") from None
    try:
        # A restart must not fail for a minute because connections of the last run are in TIME_WAIT.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # So `[::]` and `0.0.0.0` can be bound side by side under any net.ipv6.bindv6only.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
        # Several workers may wake up for one connection, and only one gets it. accept(2) must not block the others.
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        text = f"listener {listener}: cannot listen on {host}:{port}: {error.strerror}{_hint(error, port)}"
        raise BindError(text) from None
    return sock


def _hint(error: OSError, port: int) -> str:
    """Return a hint for the operator, or ""."""
    match error.errno:
        case errno.EADDRINUSE:
            return f" (`ss -ltnp 'sport = :{port}'` shows the process that listens there)"
        case errno.EADDRNOTAVAIL:
            return " (no interface of this machine has that address: `ip address` lists them)"
        case errno.EACCES:
            return " (ports below 1024 need CAP_NET_BIND_SERVICE)"
        case _:
            return ""
