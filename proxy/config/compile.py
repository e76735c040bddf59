"""Turns the models into the values for the workers: the configuration as a whole, and its listeners."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.config import models
from proxy.config.compile_tenant import compile_tenant, pinned_by_peer
from proxy.config.compile_tls import CompiledTls, TlsCompiler
from proxy.config.compile_upstream import compile_upstream
from proxy.config.findings import lines_of, locate
from proxy.config.material import Material
from proxy.config.models_root import Configuration
from proxy.config.tree import Block
from proxy.config.values import Config, Limits, Listener, Log, ProxyProtocol, Reload, Timeouts
from proxy.policy import ClientAuth, Entrance, ListenerPolicy, Tenant


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
    # Pinned certificates first: the trust of every listener and tenant contains them.
    pinned = {name: pinned_by_peer(name, tenant, material) for name, tenant in configuration.tenants.items()}
    tenants = {name: compile_tenant(name, tenant, root, pinned[name]) for name, tenant in configuration.tenants.items()}
    of_tenant = {name: tuple(itertools.chain.from_iterable(by_peer)) for name, by_peer in pinned.items()}
    tls = TlsCompiler(material, configuration.tenants, of_tenant)
    listener_tls, reached, listeners = dict[str, CompiledTls](), list[Reached](), list[Listener]()
    for name, listener in configuration.listeners.items():
        reachable = reachable_tenants(configuration, listener)
        if listener.tls is not None:
            listener_tls[name] = tls.of_listener(name, listener.tls, reachable)
        here = [Reached(name, tenant, tls.of_tenant(tenant, name, listener.tls)) for tenant in reachable]
        reached.extend(here)
        listeners.append(_listener(name, listener_tls.get(name), here, tenants, configuration, root))
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
    """Return the defined tenants that a listener reaches, in the order of the file."""
    names = configuration.tenants if listener.tenants is None else listener.tenants
    return tuple(name for name in dict.fromkeys(names) if name in configuration.tenants)


def _listener(
    name: str,
    tls: CompiledTls | None,
    reached: list[Reached],
    tenants: Mapping[str, Tenant],
    configuration: Configuration,
    root: Block,
) -> Listener:
    listener, where = configuration.listeners[name], lines_of(root, "listeners", name)
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
    # A tenant without server names is reached through the listener's context, so it gets none of its own.
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
