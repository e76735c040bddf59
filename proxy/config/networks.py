"""Relations between sets of networks. None stands for all addresses. Pure."""

import ipaddress
from collections.abc import Sequence

from proxy.policy import Network

Networks = Sequence[Network] | None


def holds_everything(network: Network) -> bool:
    """Return whether a range contains every address of IPv4 or IPv6."""
    return _unmapped(network).prefixlen == 0


def overlap(one: Networks, other: Networks) -> bool:
    """Return whether any address is in both sets."""
    if one is None or other is None:
        return True
    return any(_unmapped(a).overlaps(_unmapped(b)) for a in one for b in other)


def covers(outer: Networks, inner: Networks) -> bool:
    """Return whether each network of `inner` lies inside a single one of `outer`.

    False also if only several networks of `outer` cover it together: the warning "can never match" must be certain.
    """
    if outer is None:
        return True
    if inner is None:
        return False
    return all(any(_inside(_unmapped(b), _unmapped(a)) for a in outer) for b in inner)


def _inside(inner: Network, outer: Network) -> bool:
    # By version: `subnet_of` raises TypeError for networks of different versions.
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


def _unmapped(network: Network) -> Network:
    """Return an IPv4-mapped IPv6 range (in ::ffff:0:0/96) as the IPv4 range that the decision compares."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < 96:
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
