"""From a configured server to a connecting socket. Names are resolved in a thread, literal addresses not at all.

uvloop's `sock_connect` sends even a literal address through its thread pool (150-200 us and two context switches per
association), so sockets are connected with `connect_ex`, and the caller waits for them to become writable.
"""

import asyncio
import errno
import ipaddress
import os
import socket
from dataclasses import dataclass

from proxy.config.values import Server
from proxy.policy.addresses import format_endpoint

_PATIENCE = 1.0  # seconds to wait for a new answer if an old one is known
_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h; not in the socket module of Python 3.11
_IN_PROGRESS = (errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK)


@dataclass(frozen=True, slots=True)
class Destination:
    """One resolved address of a server, as `socket.connect` takes it."""

    family: int
    address: tuple[str, int] | tuple[str, int, int, int]

    def __str__(self) -> str:
        return format_endpoint(*self.address[:2])


def literal(server: Server) -> Destination | None:
    """Return the destination if `host` is an address literal, else None. Raises OSError if its zone is no interface."""
    try:
        address = ipaddress.ip_address(server.host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return Destination(socket.AF_INET, (str(address), server.port))
    scope = 0 if address.scope_id is None else _interface(address.scope_id)
    return Destination(socket.AF_INET6, (str(address).partition("%")[0], server.port, 0, scope))


def _interface(zone: str) -> int:
    """Return the number of an interface that is given by number or name (RFC 4007 section 11.2)."""
    if zone.isdecimal():
        return int(zone)
    try:
        return socket.if_nametoindex(zone)
    except OSError:
        raise OSError(errno.ENODEV, f"this machine has no interface {zone}") from None


class Resolver:
    """Resolves server names, and falls back to the last good answer while the name service fails."""

    def __init__(self) -> None:
        self._last_good: dict[Server, tuple[Destination, ...]] = {}
        self._look_ups: dict[Server, asyncio.Future[tuple[Destination, ...]]] = {}
        self._literals: dict[Server, tuple[Destination, ...]] = {}

    def known(self, server: Server) -> tuple[Destination, ...] | None:
        """Return the destinations of a server that needs no look-up, None for one that does."""
        found = self._literals.get(server)
        if found is None:
            destination = literal(server)
            if destination is None:
                return None
            found = (destination,)
            if "%" not in server.host:  # an interface that is removed and created again has another number
                self._literals[server] = found
        return found

    async def resolve(self, server: Server, patience: float = _PATIENCE) -> tuple[Destination, ...]:
        """Return all destinations of `server` in the order to try. Raises OSError if no look-up ever succeeded.

        `patience`: seconds to wait for a new answer if an old one is known, at most 1.
        """
        known = self.known(server)
        if known is not None:
            return known
        last_good = self._last_good.get(server)
        look_up = self._look_ups.get(server)
        if look_up is None:
            look_up = self._look_ups[server] = asyncio.ensure_future(self._look_up(server))
            look_up.add_done_callback(lambda ended: self._looked_up(server, ended))
        if last_good is None:
            return await asyncio.shield(look_up)
        # A name service that is down mostly gives no answer, and the resolver library waits longer than a sender does.
        await asyncio.wait((look_up,), timeout=min(patience, _PATIENCE))
        return self._last_good[server]

    def _looked_up(self, server: Server, ended: "asyncio.Future[tuple[Destination, ...]]") -> None:
        del self._look_ups[server]
        if not ended.cancelled():
            ended.exception()  # mark it as retrieved: with no waiter left asyncio would log it

    async def _look_up(self, server: Server) -> tuple[Destination, ...]:
        """Look a name up in a thread. All that wait for one name share one look-up, so that it takes one thread."""
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
        except OSError:
            if server in self._last_good:
                return self._last_good[server]
            raise
        found = tuple(dict.fromkeys(Destination(int(family), address) for family, _, _, _, address in answers))  # type: ignore[arg-type]
        self._last_good[server] = found
        return found


def begin_connect(destination: Destination, source: str | None = None) -> socket.socket:
    """Return a non-blocking socket that is connecting to `destination` or has connected. Raises OSError with its errno.

    `source`: address literal of this machine to connect from.
    """
    sock = socket.socket(destination.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    if source is not None:
        try:
            bind_source(sock, source)
        except BaseException:
            sock.close()
            raise
    error = sock.connect_ex(destination.address)
    if error and error not in _IN_PROGRESS:
        sock.close()
        raise OSError(error, os.strerror(error))
    return sock


def bind_source(sock: socket.socket, source: str) -> None:
    """Make a socket connect from the address `source`. Raises OSError with its errno."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    if sock.family != family:
        raise OSError(errno.EAFNOSUPPORT, f"source_address {source} is of another address family than the server")
    # Connect chooses the port, not bind. Connect may take a port that is in use towards another server; bind may not,
    # so one source address would run out of ports.
    sock.setsockopt(socket.SOL_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    try:
        sock.bind((source, 0))
    except OSError as error:
        raise OSError(error.errno, f"source_address {source}: {error.strerror}") from None


def connect_error(sock: socket.socket) -> int:
    """Return the result of a connect, once its socket has become writable: 0 or an error number."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
