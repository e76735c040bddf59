"""Readers of networks, addresses, host names and URLs: text in, checked value out, ValueError with a sentence. Pure."""

import ipaddress
import re
from collections.abc import Callable

from proxy.config.quoting import shown
from proxy.config.scalars import scalar
from proxy.policy import Network

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


def network(value: object) -> Network:
    """Read an address or a range in CIDR form, without host bits and leading zeros."""
    text = scalar(value)
    if "%" in text:
        raise ValueError(f"{shown(text)}: leave the zone out")
    address, slash, prefix = text.partition("/")
    if slash and (not prefix.isdecimal() or (prefix.startswith("0") and prefix != "0")):
        raise ValueError(f"{shown(text)}: write the range like 10.20.0.0/16")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise ValueError(f"{shown(text)} is not an IP address or range{_leading_zero_hint(address)}") from None
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    # Host bits are refused, not dropped: 10.20.1.11/16 may be meant as one address or as the range.
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{shown(text)}: /{prefix} is longer than the address") from None
    raise ValueError(f"{text} has bits set after the /{prefix}: write {meant}, or {address} for the one address")


def _leading_zero_hint(address: str) -> str:
    # Python refuses leading zeros, since inet_aton reads 010 as 8: two programs would mean two addresses.
    octets = address.split(".")
    if any(len(octet) > 1 and octet.startswith("0") and octet.isdecimal() for octet in octets):
        return ": leave out leading zeros, which some programs read as octal"
    return ""


def port(text: str) -> int:
    """Read a TCP port."""
    if not text.isascii() or not text.isdecimal() or len(text) > 5 or not 1 <= int(text) <= 65_535:
        raise ValueError(
            f"port {text if text.isascii() and text.isdecimal() and len(text) < 12 else shown(text)} is not in 1..65535"
        )
    return int(text)


def local_address(value: object) -> tuple[str, int]:
    """Read `address:port` to listen on, IPv6 in brackets. Names are rejected: listeners bind addresses only."""
    text = scalar(value)
    host, number = _split(text)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{shown(text)}: write an address and a port, like 0.0.0.0:2762 or [::]:2762") from None
    if (address.version == 6) != text.startswith("["):
        raise ValueError(f"{shown(text)}: write an IPv6 address in brackets, like [::]:2762")
    return str(address), port(number)


def remote_address(value: object) -> tuple[str, int]:
    """Read `host:port` to dial: a host name, in lower case, or an address, IPv6 in brackets."""
    text = scalar(value)
    host, number = _split(text)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # All digits and dots, but no address (10.20.5, 1921681): a misspelling, which some resolvers would accept.
        if text.startswith("[") or not is_host_name(host.lower()) or host.replace(".", "").isdecimal():
            raise ValueError(
                f"{shown(text)}: write a host and a port, like 10.20.0.5:104 or pacs.example.org:104"
            ) from None
        return host.lower(), port(number)
    if (address.version == 6) != text.startswith("["):
        raise ValueError(f"{shown(text)}: write an IPv6 address in brackets, like [2001:db8::5]:104")
    return str(address), port(number)


def _split(text: str) -> tuple[str, str]:
    host, colon, number = text.rpartition(":")
    if not colon or not host:
        raise ValueError(f"{shown(text)}: write host:port")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], number
    return host, number


def address(value: object) -> str:
    """Read one IP address."""
    text = scalar(value)
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"{shown(text)} is not an IP address") from None


def is_host_name(text: str) -> bool:
    """Return whether `text`, in lower case, is a host name (RFC 1123; underscores too, which sites use)."""
    return len(text) <= 253 and all(_LABEL.fullmatch(part) for part in text.removesuffix(".").split("."))


def server_name(value: object) -> str:
    """Read a name that clients send as SNI: lower case, no trailing dot; a leading `*.` stands for one label."""
    text = scalar(value).lower().removesuffix(".")
    wildcard = text.startswith("*.")
    bare = text.removeprefix("*.")
    if bare.replace(".", "").isdecimal() or ":" in bare:
        raise ValueError(f"{shown(text)}: clients never send an address as server name (RFC 6066)")
    if not is_host_name(bare) or (wildcard and "." not in bare):
        raise ValueError(f"{shown(text)} is not a host name; a `*` may stand only for the whole first label")
    return text


def name_of_server(value: object) -> str:
    """Read the name or address that the certificate of a server must contain."""
    text = scalar(value).lower().removesuffix(".")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if "*" in text:
        raise ValueError(f"{shown(text)}: name one server; only its certificate may contain a `*`")
    if not is_host_name(text) or text.replace(".", "").isdecimal():
        raise ValueError(f"{shown(text)} is neither a host name nor an address")
    return text


def certificate_name(value: object) -> str:
    """Read a dNSName of client certificates; `*` stands for one label."""
    text = scalar(value).lower()
    if not all(part == "*" or _LABEL.fullmatch(part) for part in text.split(".")):
        raise ValueError(f"{shown(text)} is not a DNS name; a `*` stands for one whole label")
    return text


def uri(value: object) -> str:
    """Read a URI of client certificates, or a pattern of such URIs."""
    text = scalar(value)
    if not text.isascii() or not text.isprintable() or " " in text or ":" not in text:
        raise ValueError(f"{shown(text)} is not a URI")
    return text


def url(*schemes: str) -> Callable[[object], str]:
    """Return a reader of URLs with one of `schemes`."""

    def read(value: object) -> str:
        text = uri(value)
        if text.partition("://")[0] not in schemes:
            raise ValueError(f"{shown(text)}: write a URL that begins with {' or '.join(f'{s}://' for s in schemes)}")
        return text

    return read
