"""Recognises destinations that are listeners of this gateway, by their addresses.

A route back through address translation or another gateway cannot be recognised by addresses; the loop guard finds it.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterable
from functools import lru_cache

from proxy.config.values import Listener
from proxy.policy import Address
from proxy.policy.addresses import connects_to, normalize
from proxy.upstream.dialling import Destination

_FRESH = 2.0  # seconds
#: Documentation addresses, which no machine has (RFC 5737 section 3, RFC 3849 section 2).
_FOREIGN: dict[int, Address] = {4: ipaddress.IPv4Address("192.0.2.1"), 6: ipaddress.IPv6Address("2001:db8::1")}


def is_local(address: Address, scope: int = 0) -> bool:
    """Return whether `address` belongs to this machine, which is when a socket can be bound to it.

    `scope`: interface of a link-local address. With `ip_nonlocal_bind` a socket can be bound to any address. Then an
    address belongs to this machine if the kernel would send from it to itself.
    """
    if address.is_loopback:
        return True
    if not _can_be_bound(address, scope):
        return False
    return not _can_be_bound(_FOREIGN[address.version]) or _source_towards(address, scope) == address


# A check opens two sockets. If the PACS listens on the same port number as a listener, each association would need one.
@lru_cache(maxsize=256)
def _looked_up(address: Address, scope: int, period: int) -> bool:
    return is_local(address, scope)


def is_local_cached(address: Address, scope: int, now: float) -> bool:
    """Return `is_local` as of the last two seconds. No longer: addresses move from one machine to another."""
    return _looked_up(address, scope, int(now / _FRESH))


class OwnListeners:
    """The listeners of a configuration by their ports."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._bound: dict[int, list[tuple[Address, str]]] = {}
        for listener in listeners:
            for host, port in listener.bind:
                self._bound.setdefault(port, []).append((normalize(host), listener.name))

    def find_self_connection(self, destination: Destination, is_local: Callable[[Address, int], bool]) -> str | None:
        """Return the name of the listener that a connection to `destination` would reach, None if it is not ours.

        `is_local`: as the function above; it takes an address, and the interface number of a link-local one.
        """
        bound = self._bound.get(destination.address[1])
        if bound is None:
            return None
        address = normalize(destination.address[0])
        scope = destination.address[3] if len(destination.address) == 4 else 0
        return next((name for own, name in bound if connects_to(address, own, lambda one: is_local(one, scope))), None)


def _socket_address(address: Address, scope: int) -> tuple[str, int] | tuple[str, int, int, int]:
    return (str(address), 0) if address.version == 4 else (str(address), 0, 0, scope)


def _datagrams(address: Address) -> socket.socket:
    return socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)


def _can_be_bound(address: Address, scope: int = 0) -> bool:
    try:
        with _datagrams(address) as sock:
            sock.bind(_socket_address(address, scope))
    except OSError:
        return False
    return True


def _source_towards(address: Address, scope: int) -> Address | None:
    """Return the address that the kernel sends from. Sends nothing: to connect UDP is to choose a route."""
    host, _, *more = _socket_address(address, scope)
    try:
        with _datagrams(address) as sock:
            sock.connect((host, 9, *more))  # the discard port; any would do
            return normalize(sock.getsockname()[0])
    except OSError:
        return None
