"""From the models to the values that workers get: listeners, tenants and peers."""

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.config import models
from proxy.config.compile_tls import CompiledTls, TlsCompiler
from proxy.config.compile_upstream import compile_upstream
from proxy.config.dictionary import sop_classes
from proxy.config.findings import locate
from proxy.config.material import Material, Pinned
from proxy.config.models_root import Configuration
from proxy.config.models_tenant import PeerModel, TenantModel
from proxy.config.tree import Block, Node
from proxy.config.values import Config, Limits, Listener, Log, ProxyProtocol, Reload, Timeouts
from proxy.dimse.services import ALL, expand
from proxy.policy import CertificateConditions, ClientAuth, Entrance, ListenerPolicy, Peer, Tenant, UserConditions


@dataclass(frozen=True, slots=True)
class Reached:
    """A tenant on a listener that reaches it, with its effective TLS there."""

    listener: str
    tenant: str
    tls: CompiledTls


@dataclass(frozen=True, slots=True)
class Compiled:
    """The values, and the intermediate results that the meaning checks need."""

    config: Config
    listener_tls: Mapping[str, CompiledTls]
    reached: tuple[Reached, ...]


def compile_configuration(path: str, configuration: Configuration, root: Block, material: Material) -> Compiled:
    """Return the values. A file that cannot be used is reported and left out."""
    pinned = {name: _pinned(name, tenant, material) for name, tenant in configuration.tenants.items()}
    tenants = {
        name: _tenant(name, tenant, root["tenants"], pinned[name]) for name, tenant in configuration.tenants.items()
    }
    tls = TlsCompiler(
        material,
        configuration.tenants,
        {name: tuple(item for files in found for item in files) for name, found in pinned.items()},
    )
    listener_tls, reached, listeners = dict[str, CompiledTls](), list[Reached](), list[Listener]()
    for name, listener in configuration.listeners.items():
        reachable = reachable_tenants(configuration, listener)
        if listener.tls is not None:
            listener_tls[name] = tls.of_listener(name, listener.tls, reachable)
        here = [Reached(name, tenant, tls.of_tenant(tenant, name, listener.tls)) for tenant in reachable]
        reached.extend(here)
        listeners.append(_listener(name, listener, listener_tls.get(name), here, tenants, configuration, root))
    config = Config(
        path=path,
        listeners=tuple(listeners),
        tenants=tenants,
        upstreams={
            name: compile_upstream(name, upstream, root, material) for name, upstream in configuration.upstreams.items()
        },
        timeouts=Timeouts(**configuration.timeouts.model_dump()),
        limits=Limits(**configuration.limits.model_dump()),
        log=Log(configuration.log.level, configuration.log.format, configuration.access_log.path),
        admin=None if configuration.admin is None else configuration.admin.listen,
        workers=configuration.workers,
        control=None if configuration.control is None else configuration.control.path,
        reload=Reload(configuration.reload.watch, configuration.reload.interval),
    )
    return Compiled(config, listener_tls, tuple(reached))


def reachable_tenants(configuration: Configuration, listener: models.ListenerModel) -> tuple[str, ...]:
    """The defined tenants that a listener reaches, in the order of the file."""
    names = configuration.tenants if listener.tenants is None else listener.tenants
    return tuple(name for name in dict.fromkeys(names) if name in configuration.tenants)


def _lines(root: Node, *path: str | int) -> dict[str, str]:
    """`file:line` of each key of the mapping at `path`; "" is that of the mapping itself."""
    lines = {"": locate(root, path, key=True)[0].file_and_line}
    node = root
    for step in path:
        node = node[step]  # type: ignore[index, assignment]
    if isinstance(node, Block):
        lines.update({key: mark.file_and_line for key, mark in node.key_marks.items()})
    return lines


def _listener(
    name: str,
    listener: models.ListenerModel,
    tls: CompiledTls | None,
    reached: list[Reached],
    tenants: Mapping[str, Tenant],
    configuration: Configuration,
    root: Block,
) -> Listener:
    where = _lines(root, "listeners", name)
    entrances = tuple(Entrance(tenants[item.tenant], item.tls.trust.policy) for item in reached)
    policy = ListenerPolicy(
        name=name,
        entrances=entrances,
        tls=tls is not None,
        networks=None if listener.networks is None else tuple(listener.networks),
        client_auth=ClientAuth() if tls is None else tls.trust.policy,
        reject_without_sni=listener.without_sni == "reject",
        match_unknown_sni=listener.unknown_sni == "match",
        default_tenant=listener.default_tenant,
        max_presentation_contexts=configuration.limits.presentation_contexts,
        where=where,
    )
    tenant_tls = {}
    if tls is not None:
        tenant_tls = {
            item.tenant: item.tls.settings(locate(root, item.tls.path)[0].file_and_line)
            for item in reached
            if tenants[item.tenant].server_names
        }
    own = None if tls is None else tls.settings(where["tls"])
    proxied = None if listener.proxy_protocol is None else _proxy_protocol(listener.proxy_protocol)
    return Listener(name, tuple(listener.bind), policy, own, tenant_tls, proxied, where[""])


def _proxy_protocol(protocol: models.ProxyProtocolModel) -> ProxyProtocol:
    versions = {"any": (1, 2), "v1": (1,), "v2": (2,)}[protocol.version]
    return ProxyProtocol(frozenset(versions), tuple(protocol.trusted))


def _pinned(name: str, tenant: TenantModel, material: Material) -> list[list[Pinned]]:
    """The pinned certificates of each peer, in the order of the peers."""
    found = list[list[Pinned]]()
    for index, peer in enumerate(tenant.peers):
        files = list[Pinned]()
        for number, file in enumerate((peer.cert.file if peer.cert is not None else None) or ()):
            pinned = material.pinned(file, ("tenants", name, "peers", index, "cert", "file", number))
            if pinned is not None:
                files.append(pinned)
        found.append(files)
    return found


def _tenant(name: str, tenant: TenantModel, tenants: Node, pinned: list[list[Pinned]]) -> Tenant:
    where = _lines(tenants, name)
    return Tenant(
        name=name,
        upstream=tenant.upstream,
        peers=tuple(
            _peer(peer, pinned[index], locate(tenants, (name, "peers", index))[0].file_and_line)
            for index, peer in enumerate(tenant.peers)
        ),
        server_names=tuple(tenant.server_names or ()),
        networks=None if tenant.networks is None else tuple(tenant.networks),
        called_aets=None if tenant.called_aets is None else frozenset(tenant.called_aets),
        routes=tenant.routes or {},
        observe_until=tenant.observe_until,
        uniform_rejects=tenant.uniform_rejects,
        fold_case=tenant.aet_case == "fold",
        accept_nul_padding=tenant.accept_nul_padding,
        max_associations=tenant.max_associations,
        idle=tenant.idle,
        rewrite_called_aet=tenant.rewrite.called_aet,
        sop_class_table=sop_classes(),
        where=where,
    )


def _peer(peer: PeerModel, pinned: list[Pinned], where: str) -> Peer:
    return Peer(
        name=peer_name(peer),
        aet=tuple(peer.aet),
        allow=expand(peer.allow or [ALL]),  # `allow` may be left out only with action: refuse
        source=None if peer.source is None else tuple(peer.source),
        cert=_conditions(peer, pinned),
        user=None
        if peer.user is None
        else UserConditions(frozenset(peer.user.names or ()), frozenset(peer.user.groups or ())),
        refuse=peer.action == "refuse",
        sop_classes=None if peer.sop_classes is None else frozenset(peer.sop_classes),
        transfer_syntaxes=None if peer.transfer_syntaxes is None else frozenset(peer.transfer_syntaxes),
        move_destinations=None if peer.move_destinations is None else tuple(peer.move_destinations),
        max_associations=peer.max_associations,
        rewrite_calling_aet=peer.rewrite.calling_aet,
        comment=peer.comment,
        where=where,
    )


def peer_name(peer: PeerModel) -> str:
    """The name of a peer: its `name`, or its first AE title."""
    return peer.name if peer.name is not None else peer.aet[0]


def _conditions(peer: PeerModel, pinned: list[Pinned]) -> CertificateConditions | None:
    cert = peer.cert
    if cert is None:
        return None
    return CertificateConditions(
        file=None if cert.file is None else frozenset(item.certificate.sha256 for item in pinned),
        san_dns=None if cert.san_dns is None else tuple(cert.san_dns),
        san_uri=None if cert.san_uri is None else tuple(cert.san_uri),
        subject_cn=None if cert.subject_cn is None else tuple(cert.subject_cn),
        sha256=None if cert.sha256 is None else frozenset(cert.sha256),
        spki_sha256=None if cert.spki_sha256 is None else frozenset(cert.spki_sha256),
        ca=None if cert.ca is None else tuple(cert.ca),
    )
