"""Addresses and networks as policy compares them: IPv4-mapped IPv6 counts as IPv4 (RFC 4291 section 2.5.5.2)."""

import ipaddress
from collections.abc import Callable
from functools import lru_cache

from proxy.policy.model import Address, Network

_MAPPED_PREFIX = 96  # ::ffff:0:0/96
_LOOPBACK: dict[int, Address] = {4: ipaddress.IPv4Address("127.0.0.1"), 6: ipaddress.IPv6Address("::1")}


def normalize(value: str | Address) -> Address:
    """Return the address as policy compares it: IPv4-mapped becomes IPv4, the zone id is cut. Raises ValueError."""
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
    """Return the IPv4 network that an IPv4-mapped IPv6 network stands for, None if it is not mapped."""
    mapped = network.network_address.ipv4_mapped
    if mapped is None or network.prefixlen < _MAPPED_PREFIX:
        return None
    return ipaddress.IPv4Network((mapped, network.prefixlen - _MAPPED_PREFIX))


def contains(networks: tuple[Network, ...] | None, address: Address) -> bool:
    """Return whether one of the networks contains the address; None: any. `::/0` contains no IPv4 address."""
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


def connects_to(address: Address, bound: Address, is_local: Callable[[Address], bool]) -> bool:
    """Return whether a connection to `address` reaches the socket that listens on `bound`, with the same port.

    `is_local`: returns whether an address belongs to this machine; called only if that decides.
    """
    address = normalize(address)
    if address.is_unspecified:  # connect(2) treats it as loopback
        address = _LOOPBACK[address.version]
    if address == bound and not bound.is_link_local:
        return True
    # Two interfaces may have the same link-local address, so equality alone does not decide.
    possible = address == bound or (bound.is_unspecified and bound.version == address.version)
    return possible and is_local(address)


def format_endpoint(host: str, port: int) -> str:
    """Return `host:port`, or `[host]:port` for an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
