"""The decision. `judge` is the one function of the live path, `explain`, observe mode, recheck after reload and replay.

The rules are tried in order and the first refusal wins; a request that nothing allows is refused. The first peer whose
conditions are all met wins. If there is none, the reason is that of the peer that met the most conditions in order:
that is most likely the entry to correct.
"""

from dataclasses import replace

from proxy.dimse.services import ALL, PRESETS
from proxy.pdu import APPLICATION_CONTEXT, AeTitle
from proxy.policy.addresses import contains
from proxy.policy.certificates import check_conditions, describe
from proxy.policy.contexts import Selection, describe_cuts, select_contexts
from proxy.policy.model import (
    Accept,
    ClientAuth,
    ClientAuthMode,
    Decision,
    Entrance,
    Facts,
    ListenerPolicy,
    Peer,
    Refuse,
    Tenant,
)
from proxy.policy.reasons import Reason
from proxy.policy.tenants import describe_networks, select_tenant, wants_uniform_rejects
from proxy.policy.trace import Trace

#: The conditions of a peer in the order in which they are tried.
_PROGRESS = (
    Reason.CALLING_AET_UNKNOWN,
    Reason.SOURCE_NOT_ALLOWED,
    Reason.CERTIFICATE_REQUIRED,
    Reason.CERTIFICATE_NOT_BOUND,
    Reason.IDENTITY_REQUIRED,
)


def judge(listener: ListenerPolicy, entrance: Entrance | None, facts: Facts) -> Decision:
    """Decide on one association. `entrance`: as returned by `entrance_for_sni`; None: match the tenant."""
    trace = Trace()
    refusal = _check_request(listener, entrance, facts, trace) or _check_certificate(listener, entrance, facts, trace)
    if refusal is not None:
        return refusal
    if facts.certificate is not None and not _asks_for_certificate(listener, entrance):
        # Under this configuration the sender could not have shown it, so the recheck and `explain` must ignore it.
        trace.skipped("certificate", f"{describe(facts.certificate)} does not count: none is asked for here")
        facts = replace(facts, certificate=None)
    selected = select_tenant(listener, entrance, facts, trace)
    if isinstance(selected, Refuse):
        return selected
    return decide(facts, selected.tenant, selected, trace)


def decide(facts: Facts, tenant: Tenant, entrance: Entrance | None = None, trace: Trace | None = None) -> Decision:
    """Decide by the rules of one tenant. Without its `entrance` no CA is trusted: only exact certificates count."""
    trace = trace or Trace()
    refusal = _check_called_ae_title(facts, tenant, trace) or _check_ae_title_form(facts, tenant, trace)
    if refusal is not None:
        return refusal
    auth = entrance.client_auth if entrance is not None else ClientAuth()
    peer = _find_peer(facts, tenant, auth, trace)
    if isinstance(peer, Refuse):
        return peer
    return _accept(facts, tenant, peer, trace)


def _check_request(listener: ListenerPolicy, entrance: Entrance | None, facts: Facts, trace: Trace) -> Refuse | None:
    """Check the rules that hold for every request, whatever its sender."""
    request = facts.request
    tenant = entrance.tenant if entrance is not None else None
    if not contains(listener.networks, facts.source):
        networks = describe_networks(listener.networks or ())
        detail = f"source {facts.source} is not in the networks of listener {listener.name} ({networks})"
        return trace.failed("listener", Reason.ADDRESS_DENIED, detail, listener.where.get("networks", ""))
    if not request.protocol_version & 1:
        detail = f"protocol version {request.protocol_version:#06x} does not have bit 0 set (PS3.8 Table 9-11)"
        return trace.failed("protocol_version", Reason.PROTOCOL_VERSION, detail, tenant=tenant)
    if request.application_context != APPLICATION_CONTEXT:
        detail = f"application context {request.application_context!r} is not DICOM's {APPLICATION_CONTEXT}"
        return trace.failed("application_context", Reason.APPLICATION_CONTEXT, detail, tenant=tenant)
    proposed, most = len(request.presentation_contexts), listener.max_presentation_contexts
    if proposed > most:
        detail = f"{proposed} presentation contexts, more than limits.presentation_contexts ({most})"
        return trace.failed("presentation_contexts", Reason.TOO_MANY_CONTEXTS, detail, tenant=tenant)
    if not proposed:
        detail = "the request proposes no presentation context"
        return trace.failed("presentation_contexts", Reason.NO_PERMITTED_CONTEXT, detail, tenant=tenant)
    trace.passed("request", f"protocol version and application context are DICOM's, {proposed} presentation contexts")
    return None


def _check_certificate(
    listener: ListenerPolicy, entrance: Entrance | None, facts: Facts, trace: Trace
) -> Refuse | None:
    """Refuse a certificate that the TLS layer found wrong after the handshake.

    Ignored, it would count as no certificate, and the sender might pass where none is required.
    """
    certificate = facts.certificate
    if certificate is None or certificate.problem is None:
        return None
    return trace.failed(
        "certificate",
        certificate.problem,
        f"{describe(certificate)}: {certificate.problem_detail or certificate.problem}",
        tenant=entrance.tenant if entrance is not None else None,
        uniform=wants_uniform_rejects(listener, entrance),
    )


def _asks_for_certificate(listener: ListenerPolicy, entrance: Entrance | None) -> bool:
    auth = entrance.client_auth if entrance is not None else listener.client_auth
    return listener.tls and auth.mode is not ClientAuthMode.NONE


def _check_called_ae_title(facts: Facts, tenant: Tenant, trace: Trace) -> Refuse | None:
    title = facts.request.called.title
    rule, reason, where = "called_ae_title", Reason.CALLED_AET_UNKNOWN, tenant.where.get("called_aets", "")
    if not title:
        # Illegal (PS3.8 Table 9-11), not merely unknown: observe mode does not let it pass, nor does `any`.
        return trace.failed(rule, reason, "the called AE title is blank", where, tenant=tenant)
    upstream = tenant.upstream_named(title)
    if upstream is not None:
        trace.passed(rule, f"called AE title {title!r} goes to upstream {upstream}", where)
    elif tenant.called_aets is None:
        trace.passed(rule, f"called AE title {title!r}: any goes to upstream {tenant.upstream}", where)
    else:
        detail = f"called AE title {title!r} is not in called_aets of tenant {tenant.name}"
        if not trace.observed(tenant, facts.now, rule, reason, detail, where):
            return trace.failed(rule, reason, detail, where, tenant=tenant)
    return None


def _check_ae_title_form(facts: Facts, tenant: Tenant, trace: Trace) -> Refuse | None:
    rule, request = "ae_title_form", facts.request
    if not request.calling.title:
        detail = "the calling AE title is blank"
        return trace.failed(rule, Reason.CALLING_AET_UNKNOWN, detail, tenant=tenant)
    if not tenant.accept_nul_padding and (request.called.nul_padded or request.calling.nul_padded):
        field = "called" if request.called.nul_padded else "calling"
        detail = f"the {field} AE title is padded with NULs, which not every implementation reads alike"
        where = tenant.where.get("accept_nul_padding", "")
        return trace.failed(rule, Reason.REQUEST_AMBIGUOUS, detail, where, tenant=tenant)
    return None


def _find_peer(facts: Facts, tenant: Tenant, auth: ClientAuth, trace: Trace) -> Peer | Refuse | None:
    """Return the first peer that matches; None if observe mode lets an unmatched sender pass."""
    title = facts.request.calling.title
    candidates, literal = tenant.calling_matcher.find(title)
    progress, refusal = 0, f"calling AE title {title!r} is in no peer of tenant {tenant.name}"
    where = tenant.where.get("peers", "")
    if candidates:
        how = "named by" if literal else "in no peer by name, covered by the pattern of"
        trace.passed(
            "calling_ae_title", f"calling AE title {title!r} is {how} {len(candidates)} of {len(tenant.peers)} peers"
        )
    for index in candidates:
        peer = tenant.peers[index]
        unmet = _check_peer(facts, peer, auth)
        if unmet is None:
            return _matched(facts, tenant, peer, trace)
        reason, words = unmet
        detail = f"peer {peer.name}: {words}"
        trace.skipped("peer", detail, peer.where)
        # An entry with `action: refuse` that does not match needs no correction, so it never gives the reason.
        if not peer.refuse and _PROGRESS.index(reason) > progress:
            progress, refusal, where = _PROGRESS.index(reason), detail, peer.where
    if candidates and not progress:
        refusal = f"calling AE title {title!r} is in no peer of tenant {tenant.name} that accepts"
    reason = _PROGRESS[progress]
    if trace.observed(tenant, facts.now, "peer", reason, refusal, where):
        return None
    return trace.failed("peer", reason, refusal, where, tenant=tenant)


def _check_peer(facts: Facts, peer: Peer, auth: ClientAuth) -> tuple[Reason, str] | None:
    """Return reason and words of the first condition that is not met, of a peer whose title matches."""
    if peer.source is not None and not contains(peer.source, facts.source):
        words = f"source {facts.source} is not in its from ({describe_networks(peer.source)})"
        return Reason.SOURCE_NOT_ALLOWED, words
    if peer.cert is not None:
        if facts.certificate is None:
            return Reason.CERTIFICATE_REQUIRED, "bound to a client certificate, and the sender presented none"
        words_or_none = check_conditions(peer.cert, facts.certificate, auth)
        if words_or_none is not None:
            return Reason.CERTIFICATE_NOT_BOUND, words_or_none
    if peer.user is not None:
        user = facts.user
        if user is None:
            return Reason.IDENTITY_REQUIRED, "bound to a user, and none was verified"
        if user.name not in peer.user.names and user.groups.isdisjoint(peer.user.groups):
            return Reason.IDENTITY_REQUIRED, f"user {user.name!r} is not one of its users, nor in one of its groups"
    return None


def _matched(facts: Facts, tenant: Tenant, peer: Peer, trace: Trace) -> Peer | Refuse | None:
    title = facts.request.calling.title
    if not peer.refuse:
        trace.passed("peer", f"peer {peer.name} matches calling AE title {title!r} from {facts.source}", peer.where)
        return peer
    detail = f"peer {peer.name} matches calling AE title {title!r} from {facts.source} and has action: refuse"
    if trace.observed(tenant, facts.now, "peer", Reason.PEER_REFUSED, detail, peer.where):
        return None
    return trace.failed("peer", Reason.PEER_REFUSED, detail, peer.where, tenant=tenant, peer=peer)


def _accept(facts: Facts, tenant: Tenant, peer: Peer | None, trace: Trace) -> Accept | Refuse:
    request = facts.request
    observing = tenant.observes(facts.now)
    selection = select_contexts(request, peer, tenant.sop_class_table)
    refusal = _check_contexts(facts, tenant, peer, selection, trace)
    if refusal is not None:
        return refusal
    all_kept = observing or len(selection.contexts) == len(request.presentation_contexts)
    upstream = tenant.upstream_named(request.called.title) or tenant.upstream
    # `rewrite.called_aet` is the title of the tenant's own upstream. The upstream of a route knows the route's title.
    rewrite_called = tenant.rewrite_called_aet if upstream == tenant.upstream else None
    rewrite_calling = peer.rewrite_calling_aet if peer is not None else None
    return Accept(
        tenant=tenant,
        peer=peer,
        upstream=upstream,
        operations=peer.allow if peer is not None else PRESETS[ALL],
        contexts=selection.contexts,
        keep_contexts=None if all_kept else frozenset(selection.contexts),
        transfer_syntaxes=None if observing or peer is None else peer.transfer_syntaxes,
        scp_roles=None if observing else selection.scp_roles,
        move_destinations=peer.move_destinations if peer is not None else None,
        observing=observing,
        called_ae_title=rewrite_called or _canonical(request.called),
        calling_ae_title=rewrite_calling or _canonical(request.calling),
        would_refuse=tuple(trace.would_refuse),
        trace=tuple(trace.steps),
    )


def _check_contexts(
    facts: Facts, tenant: Tenant, peer: Peer | None, selection: Selection, trace: Trace
) -> Refuse | None:
    """Refuse a request of which no context may be used. One is enough; the others are cut, except in observe mode."""
    rule, kept, proposed = "contexts", len(selection.contexts), len(facts.request.presentation_contexts)
    if peer is None or kept == proposed:
        trace.passed(
            rule, f"{kept} of {proposed} presentation contexts may be used", "" if peer is None else peer.where
        )
        return None
    detail = f"peer {peer.name}: {kept or 'none'} of {proposed} presentation contexts may be used"
    observing = tenant.observes(facts.now)
    if kept and not observing:
        # The access record lists the contexts that are cut.
        trace.passed(rule, detail, peer.where)
        return None
    detail = f"{detail} ({describe_cuts(facts.request, peer, selection, tenant.sop_class_table)})"
    if kept:
        trace.noted(rule, f"{detail}; all of them pass, because of observe_until", peer.where)
        return None
    reason = Reason.NO_PERMITTED_CONTEXT
    if trace.observed(tenant, facts.now, rule, reason, detail, peer.where):
        return None
    return trace.failed(rule, reason, detail, peer.where, tenant=tenant, peer=peer)


def _canonical(field: AeTitle) -> str | None:
    """Return the title to write if implementations read the field differently; None: forward the field as it came."""
    return field.title if field.leading_spaces or field.nul_padded else None
