"""How sets of networks lie to each other. None is any address. Pure."""

import ipaddress
from collections.abc import Sequence

from proxy.policy import Network

Networks = Sequence[Network] | None


def holds_everything(network: Network) -> bool:
    """Whether it is a range of length zero, in whatever form."""
    return _unmapped(network).prefixlen == 0


def overlap(one: Networks, other: Networks) -> bool:
    """Whether an address may be in both."""
    if one is None or other is None:
        return True
    return any(_unmapped(a).overlaps(_unmapped(b)) for a in one for b in other)


def covers(outer: Networks, inner: Networks) -> bool:
    """Whether every network of `inner` is surely inside one of `outer`."""
    if outer is None:
        return True
    if inner is None:
        return False
    return all(any(_inside(_unmapped(b), _unmapped(a)) for a in outer) for b in inner)


def _inside(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


def _unmapped(network: Network) -> Network:
    """IPv4-mapped IPv6 ranges (::ffff:0:0/96) are IPv4 ranges, as in the decision."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < 96:
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
