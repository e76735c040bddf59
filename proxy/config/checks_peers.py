"""Meaning checks of peers: who can never match, whom one title lets in, and which tenants nothing tells apart."""

import itertools
from collections.abc import Iterator

from proxy.config.compile import Compiled, Reached, peer_name
from proxy.config.findings import locate
from proxy.config.material import Material
from proxy.config.models_root import Configuration
from proxy.config.models_tenant import Peer, Tenant
from proxy.config.networks import covers, overlap


def check_peers(configuration: Configuration, compiled: Compiled, material: Material) -> None:
    """All checks of tenants' peers, then of tenants against each other."""
    for name, tenant in configuration.tenants.items():
        reached = [item for item in compiled.reached if item.tenant == name]
        _check_peer_names(name, tenant, material)
        _check_shadowed(name, tenant, material)
        for index, peer in enumerate(tenant.peers):
            if reached:
                _check_source(name, tenant, index, peer, reached, configuration, material)
                _check_certificate(name, index, peer, reached, compiled, configuration, material)
                _check_bare_title(name, tenant, index, peer, reached, configuration, material)
    for listener in configuration.listeners:
        _check_ambiguity(listener, configuration, compiled, material)


def _check_peer_names(name: str, tenant: Tenant, material: Material) -> None:
    seen = set[str]()
    for index, peer in enumerate(tenant.peers):
        if peer_name(peer) in seen:
            path = ("tenants", name, "peers", index)
            material.tell("E203", path, f"a second peer is called {peer_name(peer)}: give it a `name` of its own")
        seen.add(peer_name(peer))


def _titles(tenant: Tenant, titles: list[str]) -> list[str]:
    return [title.upper() for title in titles] if tenant.aet_case == "fold" else titles


def _is_pattern(title: str) -> bool:
    return "*" in title or "?" in title


def _check_shadowed(name: str, tenant: Tenant, material: Material) -> None:
    """A peer all of whose titles go to earlier peers that ask for nothing more."""
    by_title: dict[str, list[Peer]] = {}
    for index, peer in enumerate(tenant.peers):
        titles = _titles(tenant, peer.aet)
        takers = [_taker(title, peer, by_title) for title in titles]
        if all(taker is not None for taker in takers):
            first = tenant.peers.index(takers[0]) if takers[0] is not None else 0
            line = locate(material.root, ("tenants", name, "peers", first))[0].line
            material.tell(
                "W202",
                ("tenants", name, "peers", index),
                f"can never match: peer {peer_name(tenant.peers[first])} in line {line} comes first",
            )
        for title in titles:
            by_title.setdefault(title, []).append(peer)


def _taker(title: str, later: Peer, by_title: dict[str, list[Peer]]) -> Peer | None:
    """The earlier peer that takes whoever comes as `title` and would match `later`."""
    # A literal title is never matched by a pattern, so equal spelling is what counts; `*` takes every other pattern.
    candidates = by_title.get(title, [])
    if _is_pattern(title) and title != "*":
        candidates = [*candidates, *by_title.get("*", [])]
    return next((earlier for earlier in candidates if _asks_no_more(earlier, later)), None)


def _asks_no_more(earlier: Peer, later: Peer) -> bool:
    return (
        earlier.cert in (None, later.cert)
        and earlier.user in (None, later.user)
        and covers(earlier.source, later.source)
    )


def _check_source(
    name: str,
    tenant: Tenant,
    index: int,
    peer: Peer,
    reached: list[Reached],
    configuration: Configuration,
    material: Material,
) -> None:
    path = ("tenants", name, "peers", index, "from")
    if peer.source is None:
        return
    if not overlap(peer.source, tenant.networks):
        material.tell("W202", path, "can never match: outside the tenant's `networks`")
    elif not any(overlap(peer.source, configuration.listeners[item.listener].networks) for item in reached):
        material.tell(
            "W202", path, "can never match: outside the `networks` of every listener that reaches this tenant"
        )


def _check_certificate(
    name: str,
    index: int,
    peer: Peer,
    reached: list[Reached],
    compiled: Compiled,
    configuration: Configuration,
    material: Material,
) -> None:
    if peer.cert is None:
        return
    path = ("tenants", name, "peers", index, "cert")
    asked = [
        tls.trust.mode
        for item in reached
        if (listener := compiled.listener_tls.get(item.listener)) is not None
        # Only a server name leads to the tenant's own context.
        for tls in ((item.tls, listener) if configuration.tenants[name].server_names else (listener,))
    ]
    if all(mode == "none" for mode in asked):
        material.tell(
            "W202", path, "can never match: no client_auth asks for certificates where this tenant is reached"
        )
    known = sorted({ca for item in reached for ca in item.tls.trust.ca})
    for number, ca in enumerate(peer.cert.ca or ()):
        if ca not in known and not material.incomplete:
            there = f"there are {', '.join(known)}" if known else "there is none"
            material.tell("E201", (*path, "ca", number), f"no CA of this tenant is called {ca}; {there}")


def _check_bare_title(
    name: str,
    tenant: Tenant,
    index: int,
    peer: Peer,
    reached: list[Reached],
    configuration: Configuration,
    material: Material,
) -> None:
    if peer.action == "refuse" or tenant.networks is not None:
        return
    if peer.source is not None or peer.cert is not None or peer.user is not None:
        return
    for item in reached:
        listener = configuration.listeners[item.listener]
        public = listener.networks is None and not all(_is_loopback(host) for host, _ in listener.bind)
        if public and item.tls.trust.mode != "required":
            path = ("tenants", name, "peers", index)
            message = f"on listener {item.listener} anybody who says this AE title is let in: add `from` or `cert`"
            material.tell("W203", path, message)
            return


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"


def _check_ambiguity(name: str, configuration: Configuration, compiled: Compiled, material: Material) -> None:
    """Without SNI a tenant is found by source address, client certificate and called AE title."""
    if configuration.listeners[name].without_sni == "reject" and name in compiled.listener_tls:
        return
    asks = name in compiled.listener_tls and compiled.listener_tls[name].trust.mode != "none"
    candidates = [
        item for item in compiled.reached if item.listener == name and (asks or item.tls.trust.mode != "required")
    ]
    for one, other in itertools.combinations(candidates, 2):
        titles = list(_common_titles(configuration.tenants[one.tenant], configuration.tenants[other.tenant]))
        networks = configuration.tenants[one.tenant].networks, configuration.tenants[other.tenant].networks
        if titles and overlap(*networks) and not _told_apart_by_ca(one, other):
            what = "their called AE titles and networks overlap"
            material.tell(
                "W201",
                ("listeners", name),
                f"without SNI nothing tells tenants {one.tenant} and {other.tenant} apart for {titles[0]}: {what}",
            )


def _common_titles(one: Tenant, other: Tenant) -> Iterator[str]:
    if one.called_aets is None or other.called_aets is None:
        named = other.called_aets if one.called_aets is None else one.called_aets
        yield "any called AE title" if named is None else f"called AE title {named[0]}"
        return
    fold = "fold" in (one.aet_case, other.aet_case)
    sides = [
        {title.upper() if fold else title for title in (*(tenant.called_aets or ()), *(tenant.routes or ()))}
        for tenant in (one, other)
    ]
    yield from (f"called AE title {title}" for title in sorted(sides[0] & sides[1]))


def _told_apart_by_ca(one: Reached, other: Reached) -> bool:
    trusts = one.tls.trust, other.tls.trust
    if any(trust.mode != "required" for trust in trusts):
        return False
    anchors = [
        {ca.sha256 for ca in trust.authorities} | {p.certificate.sha256 for p in trust.pinned} for trust in trusts
    ]
    return not anchors[0] & anchors[1]
