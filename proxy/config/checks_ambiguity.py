"""The check that source address, certificate or called AE title distinguish the tenants of a listener without SNI."""

import itertools
from collections.abc import Iterator

from proxy.config.compile import Compiled, Reached
from proxy.config.material import Material
from proxy.config.models_root import Configuration
from proxy.config.models_tenant import TenantModel
from proxy.config.networks import overlap


def check_ambiguity(configuration: Configuration, compiled: Compiled, material: Material) -> None:
    """Report each pair of tenants that one request could match; the decision refuses it with `tenant_ambiguous`."""
    for listener in configuration.listeners:
        _check_listener(listener, configuration, compiled, material)


def _check_listener(name: str, configuration: Configuration, compiled: Compiled, material: Material) -> None:
    if configuration.listeners[name].without_sni == "reject" and name in compiled.listener_tls:
        return
    # If the listener requests no certificate, the decision refuses requests for a tenant that requires one
    # (sni_required), so such a tenant does not compete.
    asks = name in compiled.listener_tls and compiled.listener_tls[name].trust.mode != "none"
    candidates = [
        item for item in compiled.reached if item.listener == name and (asks or item.tls.trust.mode != "required")
    ]
    for one, other in itertools.combinations(candidates, 2):
        titles = list(_common_titles(configuration.tenants[one.tenant], configuration.tenants[other.tenant]))
        networks = configuration.tenants[one.tenant].networks, configuration.tenants[other.tenant].networks
        if titles and overlap(*networks) and not _have_separate_cas(one, other):
            which = f"tenants {one.tenant} and {other.tenant} cannot be told apart for {titles[0]}"
            material.tell("W201", ("listeners", name), f"without SNI {which}: their networks overlap")


def _common_titles(one: TenantModel, other: TenantModel) -> Iterator[str]:
    """Yield the called AE titles that both tenants take, in words, or `any called AE title`."""
    if one.called_aets is None or other.called_aets is None:
        named = other.called_aets if one.called_aets is None else one.called_aets
        yield "any called AE title" if named is None else f"called AE title {named[0]}"
        return
    # If one of the two folds case, it also takes the other one's title in any case.
    fold = "fold" in (one.aet_case, other.aet_case)
    sides = [
        {title.upper() if fold else title for title in (*(tenant.called_aets or ()), *(tenant.routes or ()))}
        for tenant in (one, other)
    ]
    yield from (f"called AE title {title}" for title in sorted(sides[0] & sides[1]))


def _have_separate_cas(one: Reached, other: Reached) -> bool:
    """Return whether both tenants require client certificates and trust no CA or pinned certificate in common."""
    # With `optional`, a client without a certificate matches both.
    trusts = one.tls.trust, other.tls.trust
    if any(trust.mode != "required" for trust in trusts):
        return False
    anchors = [
        {ca.sha256 for ca in trust.authorities} | {p.certificate.sha256 for p in trust.pinned} for trust in trusts
    ]
    return not anchors[0] & anchors[1]
