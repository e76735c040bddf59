"""Meaning checks of peers: entries that can never match, and entries that only an AE title protects."""

from dataclasses import dataclass

from proxy.config.compile import Compiled, Reached
from proxy.config.compile_tenant import peer_name
from proxy.config.findings import locate
from proxy.config.material import Material
from proxy.config.models_root import Configuration
from proxy.config.models_tenant import PeerModel, TenantModel
from proxy.config.networks import covers, overlap


@dataclass(frozen=True, slots=True)
class PeerPlace:
    """A peer entry, the tenant that contains it, and the listeners through which the tenant is reached."""

    tenant_name: str
    tenant: TenantModel
    index: int
    peer: PeerModel
    reached: list[Reached]

    @property
    def path(self) -> tuple[str | int, ...]:
        return ("tenants", self.tenant_name, "peers", self.index)


def check_peers(configuration: Configuration, compiled: Compiled, material: Material) -> None:
    """Check the peers of each tenant. Limits of networks and certificates are checked where a listener reaches it."""
    for name, tenant in configuration.tenants.items():
        _check_peer_names(name, tenant, material)
        _check_shadowed(name, tenant, material)
        reached = [item for item in compiled.reached if item.tenant == name]
        if not reached:
            continue
        for index, peer in enumerate(tenant.peers):
            place = PeerPlace(name, tenant, index, peer, reached)
            _check_source(place, configuration, material)
            _check_certificate(place, compiled, material)
            _check_bare_title(place, configuration, material)


def _check_peer_names(name: str, tenant: TenantModel, material: Material) -> None:
    seen = set[str]()
    for index, peer in enumerate(tenant.peers):
        if peer_name(peer) in seen:
            path = ("tenants", name, "peers", index)
            material.tell(
                "E203", path, f"another peer is already called {peer_name(peer)}: give this one a `name` of its own"
            )
        seen.add(peer_name(peer))


def _titles(tenant: TenantModel, titles: list[str]) -> list[str]:
    return [title.upper() for title in titles] if tenant.aet_case == "fold" else titles


def _is_pattern(title: str) -> bool:
    return "*" in title or "?" in title


def _check_shadowed(name: str, tenant: TenantModel, material: Material) -> None:
    """Report each peer that never matches, because earlier peers take every request for all of its AE titles."""
    # By title, not by pairs of peers: a tenant may have thousands of peers.
    by_title: dict[str, list[PeerModel]] = {}
    for index, peer in enumerate(tenant.peers):
        titles = _titles(tenant, peer.aet)
        takers = [_taker(title, peer, by_title) for title in titles]
        if all(taker is not None for taker in takers):
            first = tenant.peers.index(takers[0]) if takers[0] is not None else 0
            line = locate(material.root, ("tenants", name, "peers", first))[0].line
            material.tell(
                "W202",
                ("tenants", name, "peers", index),
                f"can never match: peer {peer_name(tenant.peers[first])} in line {line} matches first",
            )
        for title in titles:
            by_title.setdefault(title, []).append(peer)


def _taker(title: str, later: PeerModel, by_title: dict[str, list[PeerModel]]) -> PeerModel | None:
    """Return the earlier peer that takes every request with this AE title that `later` would match, or None."""
    # The decision never matches a pattern against a title that some peer names literally. So a literal title is taken
    # only by a peer with the same literal. A pattern is taken by the same pattern or by `*`; whether some other pattern
    # covers it is not worked out.
    candidates = by_title.get(title, [])
    if _is_pattern(title) and title != "*":
        candidates = [*candidates, *by_title.get("*", [])]
    return next((earlier for earlier in candidates if _asks_no_more(earlier, later)), None)


def _asks_no_more(earlier: PeerModel, later: PeerModel) -> bool:
    """Return whether each request that meets the conditions of `later` meets those of `earlier` too."""
    return (
        earlier.cert in (None, later.cert)
        and earlier.user in (None, later.user)
        and covers(earlier.source, later.source)
    )


def _check_source(place: PeerPlace, configuration: Configuration, material: Material) -> None:
    source, path = place.peer.source, (*place.path, "from")
    if source is None:
        return
    if not overlap(source, place.tenant.networks):
        material.tell("W202", path, "can never match: outside the tenant's `networks`")
    elif not any(overlap(source, configuration.listeners[item.listener].networks) for item in place.reached):
        material.tell(
            "W202", path, "can never match: outside the `networks` of every listener that reaches this tenant"
        )


def _check_certificate(place: PeerPlace, compiled: Compiled, material: Material) -> None:
    if place.peer.cert is None:
        return
    path = (*place.path, "cert")
    if all(mode == "none" for mode in _asked(place, compiled)):
        material.tell("W202", path, "can never match: no client_auth that applies to this tenant requests certificates")
    known = sorted({ca for item in place.reached for ca in item.tls.trust.ca})
    for number, ca in enumerate(place.peer.cert.ca or ()):
        if ca not in known and not material.incomplete:
            defined = f"defined: {', '.join(known)}" if known else "none is defined"
            material.tell("E201", (*path, "ca", number), f"no CA of this tenant is called {ca}; {defined}")


def _asked(place: PeerPlace, compiled: Compiled) -> list[str]:
    """Return the `client_auth.mode` of each TLS context that a sender of this peer may meet."""
    modes = list[str]()
    for item in place.reached:
        listener = compiled.listener_tls.get(item.listener)
        if listener is not None:
            modes.append(listener.trust.mode)
            if place.tenant.server_names:  # only a server name selects the tenant's own context
                modes.append(item.tls.trust.mode)
    return modes


def _check_bare_title(place: PeerPlace, configuration: Configuration, material: Material) -> None:
    """Report a peer on a public listener that only its AE title identifies: any client can claim a title."""
    peer = place.peer
    if peer.action == "refuse" or place.tenant.networks is not None:
        return
    if peer.source is not None or peer.cert is not None or peer.user is not None:
        return
    for item in place.reached:
        listener = configuration.listeners[item.listener]
        public = listener.networks is None and not all(_is_loopback(host) for host, _ in listener.bind)
        if public and item.tls.trust.mode != "required":
            message = (
                f"on listener {item.listener} any client that claims this AE title is accepted: add `from` or `cert`"
            )
            material.tell("W203", place.path, message)
            return


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"
