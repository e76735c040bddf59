"""Turns the model of an upstream into the value for the workers, with the content of the files that `tls` names."""

import ipaddress

from proxy.config import models
from proxy.config.findings import KeyPath, locate
from proxy.config.material import Material
from proxy.config.profiles import LEGACY_PROFILES
from proxy.config.tree import Block
from proxy.config.values import HealthCheck, Server, Upstream, UpstreamTls
from proxy.policy.addresses import normalize


def compile_upstream(name: str, upstream: models.UpstreamModel, root: Block, material: Material) -> Upstream:
    """Return the upstream. A file of its `tls` that cannot be used is reported and left out."""
    path = ("upstreams", name)
    servers = tuple(Server(*server.address, server.weight, server.backup) for server in upstream.servers)
    tls = None if upstream.tls is None else _tls(upstream.tls, (*path, "tls"), root, material)
    if tls is not None and tls.verify_name and tls.server_name is None:
        _check_named(servers, path, material)
    return Upstream(
        name,
        servers,
        upstream.balance,
        tls=tls,
        send_proxy_protocol=None if upstream.send_proxy_protocol is None else int(upstream.send_proxy_protocol[1:]),
        source_address=None if upstream.source_address is None else str(normalize(upstream.source_address)),
        health_check=None if upstream.health_check is None else _health_check(upstream.health_check),
        where=locate(root, path, key=True)[0].file_and_line,
    )


def _health_check(check: models.HealthCheckModel) -> HealthCheck:
    return HealthCheck(
        check.type,
        check.interval,
        check.timeout,
        check.rise,
        check.fall,
        check.calling_aet,
        check.called_aet or "",
    )


def _tls(tls: models.UpstreamTlsModel, path: KeyPath, root: Block, material: Material) -> UpstreamTls:
    ca = None if tls.ca is None else material.trusted(tls.ca, (*path, "ca"))
    own = None
    if tls.certificate is not None and tls.key is not None:
        own = material.client_certificate(tls.certificate, tls.key, path)
        if own is not None and tls.profile not in LEGACY_PROFILES:
            material.check_strength(own, (*path, "certificate"))
    return UpstreamTls(
        profile=tls.profile,
        server_name=tls.server_name,
        ca=None if ca is None else ca.file,
        certificate=None if own is None else own.pair,
        verify_name=tls.verify_name,
        where=locate(root, path, key=True)[0].file_and_line,
    )


def _check_named(servers: tuple[Server, ...], path: KeyPath, material: Material) -> None:
    """Report servers that are dialled by address without `tls.server_name`: certificates seldom contain an address."""
    for index, server in enumerate(servers):
        try:
            ipaddress.ip_address(server.host)
        except ValueError:
            continue
        message = (
            f"{server.host} is an address, and no name is configured for its certificate: set tls.server_name "
            "(to the address, if the certificate contains it), or tls.verify_name: false"
        )
        material.tell("E210", (*path, "servers", index, "address"), message)
