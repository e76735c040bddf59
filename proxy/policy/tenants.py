"""Selects the tenant: before TLS by SNI, after the request by SNI or by source, certificate and called AE title.

Without SNI the tenants of a listener compete, and only a single match wins. The default tenant does not compete: it
takes requests that match no other, under its own networks and client authentication. It does not take a request for
another tenant's title that lacks only the certificate which that tenant demands: that would be a silent downgrade.
"""

from functools import lru_cache

from proxy.policy.addresses import contains
from proxy.policy.certificates import check_client_auth
from proxy.policy.model import Entrance, Facts, ListenerPolicy, Network, Refuse, Tenant
from proxy.policy.names import SniResult, lookup
from proxy.policy.reasons import Reason
from proxy.policy.trace import Trace

_RULE = "tenant"
_MOST_NAMED = 6  # tenants and networks that one sentence names


def entrance_for_sni(listener: ListenerPolicy, sni: str | None) -> Entrance | Refuse | None:
    """Return the tenant that the server name selects, before TLS. None: use the listener's own context, match later."""
    if not listener.tls:
        return None
    found = lookup(listener, sni)
    if found.entrance is not None:
        return found.entrance
    if found.result is SniResult.UNKNOWN:
        if listener.match_unknown_sni:
            return None
        detail = f"no tenant of listener {listener.name} has the server name {sni!r}"
        return Trace().failed("sni", Reason.SNI_UNKNOWN, detail, listener.where.get("unknown_sni", ""))
    if not listener.reject_without_sni:
        return None
    if found.result is SniResult.UNUSED:
        detail = f"without_sni is reject, and no tenant of listener {listener.name} has a server name"
    else:
        detail = f"the client sent no server name (SNI), and listener {listener.name} rejects without_sni"
    return Trace().failed("sni", Reason.SNI_MISSING, detail, listener.where.get("without_sni", ""))


def select_tenant(
    listener: ListenerPolicy, entrance: Entrance | None, facts: Facts, trace: Trace | None = None
) -> Entrance | Refuse:
    """Return the tenant whose networks contain the source and whose client authentication is met, after the request.

    `decide` refuses a called AE title that the tenant does not have; only a title of another tenant is refused here.
    """
    trace = trace or Trace()
    if entrance is not None:
        return _check_chosen(listener, entrance, facts, trace, f"SNI {facts.sni!r} selects it", by_sni=True)
    if len(listener.entrances) == 1:
        how = f"it is the only one of listener {listener.name}"
        return _check_chosen(listener, listener.entrances[0], facts, trace, how)
    return _match(listener, facts, trace)


def wants_uniform_rejects(listener: ListenerPolicy, entrance: Entrance | None) -> bool:
    """Return whether a refusal must be uniform: as the tenant wants it, or as any tenant wants it before one is known.

    Otherwise a guess would give itself away: an answer of 1/1/1 would mean that the called AE title is right.
    """
    if entrance is not None:
        return entrance.tenant.uniform_rejects
    return any(candidate.tenant.uniform_rejects for candidate in listener.entrances)


def _check_chosen(
    listener: ListenerPolicy,
    entrance: Entrance,
    facts: Facts,
    trace: Trace,
    how: str,
    *,
    by_sni: bool = False,
    is_default: bool = False,
) -> Entrance | Refuse:
    tenant = entrance.tenant
    where = tenant.where.get("", "")
    if not contains(tenant.networks, facts.source):
        detail = f"tenant {tenant.name} ({how}): {_outside(tenant, facts)}"
        where_networks = tenant.where.get("networks", where)
        # Any sender may end up at the default tenant, so its networks separate tenants: observe mode keeps them.
        if is_default or not trace.observed(
            tenant, facts.now, _RULE, Reason.SOURCE_NOT_ALLOWED, detail, where_networks
        ):
            return trace.failed(_RULE, Reason.SOURCE_NOT_ALLOWED, detail, where_networks, tenant=tenant)
    obstacle = check_client_auth(listener, entrance, facts.certificate, by_sni=by_sni)
    if obstacle is not None:
        reason, words = obstacle
        return trace.failed(_RULE, reason, f"tenant {tenant.name} ({how}): {words}", where, tenant=tenant)
    called = facts.request.called.title
    if not _takes(tenant, called):
        owner = next((other.tenant for other in listener.entrances if other.tenant.upstream_named(called)), None)
        if owner is not None:
            reason = Reason.CALLED_AET_UNKNOWN if is_default else Reason.TENANT_MISMATCH
            detail = f"tenant {tenant.name} ({how}): called AE title {called!r} is tenant {owner.name}'s"
            return trace.failed(_RULE, reason, detail, where, tenant=tenant)
    trace.passed(_RULE, f"tenant {tenant.name}: {how}", where)
    return entrance


def _match(listener: ListenerPolicy, facts: Facts, trace: Trace) -> Entrance | Refuse:
    called = facts.request.called.title
    matching: list[Entrance] = []
    barred: list[tuple[Tenant, Reason, str]] = []  # matching but for client authentication
    default: Entrance | None = None
    for candidate in listener.entrances:
        tenant = candidate.tenant
        if tenant.name == listener.default_tenant:
            default = candidate
            continue
        if not _takes(tenant, called) or not contains(tenant.networks, facts.source):
            continue
        obstacle = check_client_auth(listener, candidate, facts.certificate, by_sni=False)
        if obstacle is None:
            matching.append(candidate)
        else:
            barred.append((tenant, *obstacle))
    where = listener.where.get("", "")
    if len(matching) > 1:
        names = _some([candidate.tenant.name for candidate in matching])
        detail = f"called AE title {called!r} from {facts.source} without SNI matches several tenants: {names}"
        uniform = wants_uniform_rejects(listener, None)
        return trace.failed(_RULE, Reason.TENANT_AMBIGUOUS, detail, where, uniform=uniform)
    if matching:
        tenant = matching[0].tenant
        trace.passed(
            _RULE,
            f"tenant {tenant.name}: the only one that takes called AE title {called!r} from {facts.source}",
            tenant.where.get("", ""),
        )
        return matching[0]
    # The default tenant takes the request, unless another tenant names its title and lacks only the certificate. A
    # tenant that takes any title does not bar the default one.
    if default is not None:
        barred = [bar for bar in barred if bar[0].upstream_named(called) is not None]
    if barred:
        tenant, reason, _ = barred[0]
        detail = _some([f"tenant {bar[0].name}: {bar[2]}" for bar in barred], "; ")
        return trace.failed(
            _RULE,
            reason,
            detail,
            tenant.where.get("", ""),
            tenant=tenant if len(barred) == 1 else None,
            uniform=wants_uniform_rejects(listener, None),
        )
    if default is not None:
        how = "it matches no other tenant, and this is the default_tenant"
        return _check_chosen(listener, default, facts, trace, how, is_default=True)
    excluded = _some(
        [f"tenant {entrance.tenant.name}: {_why_not(entrance.tenant, facts)}" for entrance in listener.entrances], "; "
    )
    detail = f"no tenant of listener {listener.name} accepts it ({excluded})"
    uniform = wants_uniform_rejects(listener, None)
    return trace.failed(_RULE, Reason.CALLED_AET_UNKNOWN, detail, where, uniform=uniform)


def _takes(tenant: Tenant, called: str) -> bool:
    return tenant.called_aets is None or tenant.upstream_named(called) is not None


def _why_not(tenant: Tenant, facts: Facts) -> str:
    """Return in words why a tenant does not match, client authentication aside."""
    called = facts.request.called.title
    title = None if _takes(tenant, called) else f"called AE title {called!r} is not one of its titles"
    network = None if contains(tenant.networks, facts.source) else _outside(tenant, facts)
    return " and ".join(filter(None, (title, network)))


def _outside(tenant: Tenant, facts: Facts) -> str:
    return f"source {facts.source} is not in its networks ({describe_networks(tenant.networks or ())})"


@lru_cache(maxsize=4096)  # keys come from the configuration alone
def describe_networks(networks: tuple[Network, ...]) -> str:
    """Describe networks; a single address without its prefix length."""
    return _some([str(net.network_address) if net.prefixlen == net.max_prefixlen else str(net) for net in networks])


def _some(words: list[str], separator: str = ", ") -> str:
    more = f"{separator}and {len(words) - _MOST_NAMED} more" if len(words) > _MOST_NAMED else ""
    return separator.join(words[:_MOST_NAMED]) + more
