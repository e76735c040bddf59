"""Meaning checks of names, addresses and listeners: each value is valid, but some are wrong together."""

import ipaddress
from collections.abc import Iterable, Iterator

from proxy.config.checks_ambiguity import check_ambiguity
from proxy.config.checks_operations import check_operations
from proxy.config.checks_peers import check_peers
from proxy.config.checks_tls import check_tls
from proxy.config.checks_upstreams import check_upstreams
from proxy.config.compile import Compiled, reachable_tenants
from proxy.config.findings import KeyPath, locate
from proxy.config.material import Material
from proxy.config.models import ListenerModel
from proxy.config.models_root import Configuration
from proxy.config.networks import holds_everything
from proxy.config.profiles import LEGACY_PROFILES
from proxy.config.quoting import shown
from proxy.policy.addresses import connects_to


def check_meaning(configuration: Configuration, compiled: Compiled, material: Material) -> None:
    """Run all checks that need more than one value. Findings go to the report of `material`."""
    _check_names(configuration, material)
    _check_addresses(configuration, material)
    for name, listener in configuration.listeners.items():
        _check_listener(name, listener, configuration, material)
    _check_reach(configuration, material)
    _check_ranges(configuration, material)
    check_tls(configuration, compiled, material)
    check_peers(configuration, compiled, material)
    check_ambiguity(configuration, compiled, material)
    check_operations(configuration, material)
    check_upstreams(configuration, material)


def _check_names(configuration: Configuration, material: Material) -> None:
    """Report names that nothing defines, and names from an include file that a tenant of another file uses."""
    for name, listener in configuration.listeners.items():
        for index, tenant in enumerate(listener.tenants or ()):
            _known(tenant, configuration.tenants, "tenant", ("listeners", name, "tenants", index), material)
        if listener.default_tenant is not None:
            default = ("listeners", name, "default_tenant")
            if _known(listener.default_tenant, configuration.tenants, "tenant", default, material):
                _check_default(listener.default_tenant, listener, configuration, default, material)
    providers = configuration.identity_providers or {}
    for name in configuration.tenants:
        for place, upstream in _upstreams_of(configuration, name):
            if _known(upstream, configuration.upstreams, "upstream", place, material):
                _in_scope(name, "upstreams", upstream, place, material)
        for index, provider in enumerate(configuration.tenants[name].user_identity.providers or ()):
            place = ("tenants", name, "user_identity", "providers", index)
            if _known(provider, providers, "identity provider", place, material):
                _in_scope(name, "identity_providers", provider, place, material)


def _check_default(
    name: str, listener: ListenerModel, configuration: Configuration, path: KeyPath, material: Material
) -> None:
    if name not in reachable_tenants(configuration, listener):
        material.tell("E201", path, f"this listener does not reach tenant {name}")


def _upstreams_of(configuration: Configuration, name: str) -> Iterator[tuple[KeyPath, str]]:
    tenant = configuration.tenants[name]
    yield ("tenants", name, "upstream"), tenant.upstream
    for title, upstream in (tenant.routes or {}).items():
        yield ("tenants", name, "routes", title), upstream


def _known(name: str, among: Iterable[str], kind: str, path: KeyPath, material: Material) -> bool:
    names = list(among)
    if name in names:
        return True
    defined = f"defined: {', '.join(names[:10])}" if names else "none is defined"
    material.tell("E201", path, f"no {kind} is called {shown(name)}; {defined}")
    return False


def _in_scope(tenant: str, section: str, name: str, path: KeyPath, material: Material) -> None:
    # An include file may belong to one team (tenants.d/): its PACS is not for the tenants of other teams.
    main = material.root.mark.file
    home = locate(material.root, (section, name), key=True)[0].file
    if home not in (main, locate(material.root, ("tenants", tenant), key=True)[0].file):
        material.tell("E202", path, f"{name} is defined in {home}: only tenants of that file may name it")


def _check_addresses(configuration: Configuration, material: Material) -> None:
    """Report addresses that are bound twice, and upstreams that are the gateway itself."""
    bound = list[tuple[str, tuple[str, int]]]()
    places: list[tuple[KeyPath, str, tuple[str, int]]] = [
        (("listeners", name, "bind", index), f"listeners.{name}.bind", address)
        for name, listener in configuration.listeners.items()
        for index, address in enumerate(listener.bind)
    ]
    if configuration.admin is not None:
        places.append((("admin", "listen"), "admin.listen", configuration.admin.listen))
    for path, binder, address in places:
        taken = next((other for other, known in bound if _collide(known, address)), None)
        if taken is not None:
            material.tell("E205", path, f"{taken} already binds port {address[1]} of this address")
        bound.append((binder, address))
    for name, upstream in configuration.upstreams.items():
        for index, server in enumerate(upstream.servers):
            own = next((binder for binder, address in bound if _reaches(server.address, address)), None)
            if own is not None:
                path = ("upstreams", name, "servers", index, "address")
                material.tell("E209", path, f"this is the gateway itself ({own}): requests would loop")


def _collide(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Return whether the kernel would refuse to bind both addresses."""
    hosts = ipaddress.ip_address(one[0]), ipaddress.ip_address(other[0])
    # The gateway binds IPv6 sockets with IPV6_V6ONLY, so [::] and 0.0.0.0 live side by side.
    if one[1] != other[1] or hosts[0].version != hosts[1].version:
        return False
    return hosts[0] == hosts[1] or any(host.is_unspecified for host in hosts)


def _reaches(server: tuple[str, int], bound: tuple[str, int]) -> bool:
    """Return whether a connection to `server` certainly arrives at `bound`."""
    if server[1] != bound[1]:
        return False
    # No other name is resolved here: DNS may answer differently later. At run time the loop guard deals with names.
    if server[0].lower().removesuffix(".") == "localhost":
        server = ("127.0.0.1", server[1])
    try:
        host, own = ipaddress.ip_address(server[0]), ipaddress.ip_address(bound[0])
    except ValueError:
        return False
    return connects_to(host, own, lambda address: address.is_loopback)


def _check_listener(name: str, listener: ListenerModel, configuration: Configuration, material: Material) -> None:
    reachable = reachable_tenants(configuration, listener)
    if listener.tls is None and listener.tenants is None:
        message = "a plaintext listener must list its `tenants`: only the network protects them"
        material.tell("E206", ("listeners", name), message)
    _check_legacy_profiles(name, listener, reachable, configuration, material)
    named = any(configuration.tenants[tenant].server_names for tenant in reachable)
    if listener.tls is not None and listener.without_sni == "reject" and not named:
        message = "no tenant of this listener has server_names: every client is rejected"
        material.tell("W206", ("listeners", name, "without_sni"), message)
    _check_server_names(name, reachable, configuration, material)
    listed = set[str]()
    for index, tenant in enumerate(listener.tenants or ()):
        if tenant in listed:
            material.tell("E203", ("listeners", name, "tenants", index), f"tenant {tenant} is listed twice")
        listed.add(tenant)


def _check_legacy_profiles(
    name: str, listener: ListenerModel, reachable: Iterable[str], configuration: Configuration, material: Material
) -> None:
    """Report legacy profiles, of the listener or of its tenants, where `networks` does not limit the listener."""
    if listener.tls is None:
        return
    if listener.networks is not None and not any(holds_everything(network) for network in listener.networks):
        return
    if listener.tls.profile in LEGACY_PROFILES:
        message = f"{listener.tls.profile} needs `networks` on the listener"
        material.tell("E207", ("listeners", name, "tls", "profile"), message)
    for tenant in reachable:
        tls = configuration.tenants[tenant].tls
        if tls is not None and tls.profile in LEGACY_PROFILES:
            message = f"{tls.profile} needs `networks` on the listener; {name} has none"
            material.tell("E207", ("tenants", tenant, "tls", "profile"), message)


def _check_server_names(name: str, reachable: Iterable[str], configuration: Configuration, material: Material) -> None:
    """Report server names that several tenants of one listener have: a name must select one tenant."""
    names: dict[str, str] = {}
    for tenant in reachable:
        for index, server_name in enumerate(configuration.tenants[tenant].server_names or ()):
            first = names.setdefault(server_name, tenant)
            if first != tenant:
                message = f"tenant {first} already has this name on listener {name}"
                material.tell("E204", ("tenants", tenant, "server_names", index), message)


def _check_reach(configuration: Configuration, material: Material) -> None:
    """Report tenants that no listener reaches. The cause is usually a misspelling in `tenants` of a listener."""
    reached = {name for each in configuration.listeners.values() for name in reachable_tenants(configuration, each)}
    for name in configuration.tenants:
        if name not in reached:
            material.tell("W205", ("tenants", name), "no listener reaches this tenant")


def _check_ranges(configuration: Configuration, material: Material) -> None:
    """Report ranges that contain every address: 10.0.0.0/0 means `any`, but reads like something narrower."""
    ranges = list[tuple[KeyPath, object]]()
    for name, listener in configuration.listeners.items():
        ranges.append((("listeners", name, "networks"), listener.networks))
        if listener.proxy_protocol is not None:
            ranges.append((("listeners", name, "proxy_protocol", "trusted"), listener.proxy_protocol.trusted))
    for name, tenant in configuration.tenants.items():
        ranges.append((("tenants", name, "networks"), tenant.networks))
        for index, peer in enumerate(tenant.peers):
            ranges.append((("tenants", name, "peers", index, "from"), peer.source))
    for path, networks in ranges:
        for index, network in enumerate(networks if isinstance(networks, list) else ()):
            if holds_everything(network):
                if path[-1] == "trusted":
                    message = f"{network} contains every address: any client could claim any source in a PROXY header"
                else:
                    message = f"{network} contains every address: write `any` if that is meant"
                material.tell("W204", (*path, index), message)
