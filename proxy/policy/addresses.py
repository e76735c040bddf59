"""Addresses and networks as policy compares them: IPv4-mapped IPv6 counts as IPv4 (RFC 4291 section 2.5.5.2)."""

import ipaddress
from functools import lru_cache

from proxy.policy.model import Address, Network

_MAPPED_PREFIX = 96  # ::ffff:0:0/96


def normalize(value: str | Address) -> Address:
    """The address as policy compares it: IPv4-mapped is IPv4, the zone id is cut. ValueError for what is no address."""
    if isinstance(value, str):
        text, percent, zone = value.partition("%")
        if percent and (":" not in text or not zone or "%" in zone):
            raise ValueError(f"{value!r} is not an IP address")
        value = ipaddress.ip_address(text)
    if isinstance(value, ipaddress.IPv4Address):
        return value
    if value.ipv4_mapped is not None:
        return value.ipv4_mapped
    return ipaddress.IPv6Address(int(value)) if value.scope_id is not None else value


# Only networks of the configuration come here, so strangers cannot fill the cache.
@lru_cache(maxsize=4096)
def _as_ipv4(network: ipaddress.IPv6Network) -> ipaddress.IPv4Network | None:
    """The IPv4 network that an IPv4-mapped IPv6 network carries."""
    mapped = network.network_address.ipv4_mapped
    if mapped is None or network.prefixlen < _MAPPED_PREFIX:
        return None
    return ipaddress.IPv4Network((mapped, network.prefixlen - _MAPPED_PREFIX))


def contains(networks: tuple[Network, ...] | None, address: Address) -> bool:
    """Whether one of the networks holds the address; None is any network. `::/0` holds no IPv4 address."""
    if networks is None:
        return True
    address = normalize(address)
    for network in networks:
        plain = network
        if isinstance(network, ipaddress.IPv6Network) and address.version == 4:
            plain = _as_ipv4(network) or network
        if address in plain:
            return True
    return False
