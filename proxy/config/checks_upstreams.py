"""Meaning checks of upstreams: their servers, and the source address of connections to them."""

import ipaddress
import socket

from proxy.config.findings import KeyPath
from proxy.config.material import Material
from proxy.config.models import UpstreamModel
from proxy.config.models_root import Configuration
from proxy.policy.addresses import normalize


def check_upstreams(configuration: Configuration, material: Material) -> None:
    """Report servers that are listed twice, and a `source_address` of another IP version or of another machine."""
    for name, upstream in configuration.upstreams.items():
        _check_twice(("upstreams", name, "servers"), upstream, material)
        if upstream.source_address is not None:
            _check_source(("upstreams", name, "source_address"), upstream, upstream.source_address, material)


def _check_twice(path: KeyPath, upstream: UpstreamModel, material: Material) -> None:
    """Report a server that an upstream lists twice."""
    # The key of a server's state is upstream and address: both entries would share one count of associations, one count
    # of failures and one health check.
    first: dict[tuple[str, int], int] = {}
    for index, server in enumerate(upstream.servers):
        host, port = server.address
        before = first.setdefault((host.lower().removesuffix("."), port), index)
        if before != index:
            text = f"the same server as servers.{before}: a larger `weight` there gives it more associations"
            material.tell("E212", (*path, index, "address"), text)


def _check_source(path: KeyPath, upstream: UpstreamModel, source: str, material: Material) -> None:
    version = normalize(source).version
    for server in upstream.servers:
        host = server.address[0]
        if _version(host) not in (None, version):
            material.tell("E211", path, f"{host} cannot be dialled from an IPv{version} address")
    # A trial bind also respects ip_nonlocal_bind. A warning and no error: `check` may run on another machine.
    with socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6) as sock:
        try:
            sock.bind((str(normalize(source)), 0))
        except OSError as error:
            text = f"this machine cannot dial from {source}: {error.strerror}; every request would be refused"
            material.tell("W212", path, text)


def _version(host: str) -> int | None:
    """Return 4 or 6, or None for a host name, which may have addresses of both versions."""
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return None
