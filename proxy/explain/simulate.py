"""Simulates the stages of an association for a described sender.

Every stage calls the function that the live path calls: `entrance_for_sni`, OpenSSL under the tenant's own context, the
PDU parser, `policy.judge`. A copy of their rules would drift, and then explain a decision that the gateway does not
make (docs/architecture.md, "One decision").
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from proxy.config.values import Config, Listener
from proxy.dimse.echo import VERIFICATION_SOP_CLASS
from proxy.explain.advice import advise
from proxy.explain.presenting import Unaccepted, present
from proxy.explain.proposing import ContextAnswer, Proposal, answer_proposals, encode_proposals
from proxy.explain.refusals import MANUAL
from proxy.explain.upstreams import describe_upstream
from proxy.net.stages import request_error
from proxy.observe.answers import describe_answer
from proxy.pdu import PduError, RequestAmbiguous, parse_associate_rq
from proxy.policy import (
    Accept,
    Address,
    Alert,
    Answer,
    ClientAuthMode,
    Decision,
    Entrance,
    Facts,
    NeedsIdentity,
    Reason,
    Refuse,
    Step,
    StepOutcome,
    VerifiedCertificate,
    entrance_for_sni,
    judge,
    move_allowed,
)
from proxy.policy.addresses import contains
from proxy.policy.tenants import describe_networks
from proxy.policy.trace import Trace
from proxy.tls.certificates import for_policy
from proxy.tls.contexts import ListenerTls, ServerContext
from proxy.tls.hello import ClientHelloMalformed, normalize_server_name

if TYPE_CHECKING:
    from proxy.x509 import certificate as x509

_SHOWN_SUBJECT = 80  # characters: a subject may be of any length


@dataclass(frozen=True, slots=True)
class SimulatedSender:
    """A sender and its request, as `dicomgate explain` describes them.

    `chain`: the certificates that it sends, leaf first, from `read_chain`. `proposals`: the SOP classes that it
    proposes; Verification if empty. `asks`: True if it must get all of them. `move_destination`: the AE title of a
    C-MOVE that it requests.
    """

    address: Address
    calling: str
    called: str
    sni: str | None = None
    chain: "Sequence[x509.Certificate]" = ()
    proposals: tuple[Proposal, ...] = ()
    asks: bool = False
    move_destination: str | None = None

    def __str__(self) -> str:
        sni = f"SNI {self.sni}" if self.sni is not None else "no SNI"
        certificate = "no certificate"
        if self.chain:
            certificate = f"certificate {self.chain[0].subject.text[:_SHOWN_SUBJECT]}"
        return f"{self.calling} calls {self.called} from {self.address}, {sni}, {certificate}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The steps of the simulation, and the decision. `advice` is empty for an accepted request.

    `contexts`: the answer to each proposal, if a peer was found. `move_refused`: why the C-MOVE would be refused, or
    "".
    """

    listener: str
    steps: tuple[Step, ...]
    decision: Accept | Refuse
    advice: str = ""
    contexts: tuple[ContextAnswer, ...] = ()
    move_refused: str = ""

    @property
    def refusal(self) -> Refuse | None:
        """The refusal, or None."""
        return self.decision if isinstance(self.decision, Refuse) else None

    @property
    def observing(self) -> bool:
        """True if the request was accepted and `observe_until` lets forbidden operations pass."""
        return isinstance(self.decision, Accept) and self.decision.observing

    @property
    def by_the_rules(self) -> bool:
        """True if the rules allow everything that the sender proposes."""
        return not self.move_refused and all(answer.allowed for answer in self.contexts)

    @property
    def everything_allowed(self) -> bool:
        """True if everything passes now, by the rules or under `observe_until`."""
        return self.refusal is None and (self.by_the_rules or self.observing)

    def to_dict(self, config: Config) -> dict[str, Any]:
        """Return the value for `--format json`."""
        decision, refusal = self.decision, self.refusal
        upstream = config.upstreams[decision.upstream] if isinstance(decision, Accept) else None
        return {
            "accepted": refusal is None,
            "listener": self.listener,
            "tenant": decision.tenant.name if decision.tenant is not None else None,
            "peer": decision.peer.name if decision.peer is not None else None,
            "upstream": upstream.name if upstream is not None else None,
            "server": ", ".join(server.label for server in upstream.servers) if upstream is not None else None,
            "upstream_tls": describe_upstream(upstream).to_dict()["tls"] if upstream is not None else None,
            "reason": refusal.reason if refusal is not None else None,
            "answer": describe_answer(refusal.answer) if refusal is not None else None,
            "detail": refusal.detail if refusal is not None else None,
            "advice": self.advice or None,
            "contexts": [answer.to_dict() for answer in self.contexts],
            "move_refused": self.move_refused or None,
            "would_refuse": list(decision.would_refuse) if isinstance(decision, Accept) else [],
            "trace": [
                {"rule": step.rule, "outcome": step.outcome, "detail": step.detail, "where": step.where or None}
                for step in self.steps
            ],
        }


class _RefusedEarly(Exception):
    """A stage before the decision refused the sender."""

    def __init__(self, refusal: Refuse) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal


def _refused(
    trace: Trace, rule: str, reason: Reason, detail: str, where: str = "", answer: Answer | None = None
) -> _RefusedEarly:
    """Return the refusal of a stage. The answer is that of the reason, unless the stage has another one."""
    return _RefusedEarly(replace(trace.failed(rule, reason, detail, where), answer=answer or reason.answer))


def simulate(listener: Listener, sender: SimulatedSender) -> Explanation:
    """Take a sender from the accepted connection to the decision. Raises TlsSetupError if the listener cannot serve."""
    trace = Trace()
    try:
        _check_address(listener, sender, trace)
        entrance, certificate = _secure(listener, sender, trace)
        facts = _read_request(sender, certificate, trace)
    except _RefusedEarly as refused:
        # There are no facts of a request yet to fill an advice with: take the manual's general sentence.
        change = MANUAL[refused.refusal.reason].change
        return Explanation(listener.name, tuple(trace.steps), refused.refusal, change)
    decision = judge(listener.policy, entrance, facts)
    steps = (*trace.steps, *_without_repeats(decision.trace))
    return _explain(listener.name, steps, _settle(decision), sender, facts)


def _explain(
    listener: str, steps: tuple[Step, ...], decision: Accept | Refuse, sender: SimulatedSender, facts: Facts
) -> Explanation:
    if isinstance(decision, Accept):
        contexts = answer_proposals(sender.proposals, decision.peer)
        return Explanation(listener, steps, decision, "", contexts, _check_move(sender, decision))
    # Other refusals do not depend on presentation contexts: an answer to each context would mislead.
    cut = decision.reason is Reason.NO_PERMITTED_CONTEXT
    contexts = answer_proposals(sender.proposals, decision.peer) if cut else ()
    return Explanation(listener, steps, decision, advise(decision, facts), contexts)


def _check_move(sender: SimulatedSender, accept: Accept) -> str:
    """Return why a C-MOVE-RQ of the sender would be refused, or ""."""
    destination = sender.move_destination
    if destination is None or move_allowed(accept, destination, sender.calling):
        return ""
    return f"{destination} is not one of the peer's move_destinations ({', '.join(accept.move_destinations or ())})"


def _without_repeats(steps: Sequence[Step]) -> Iterator[Step]:
    """Leave out the skip of a peer that the final refusal repeats in the same words."""
    for step in steps:
        if step.outcome is not StepOutcome.SKIP or replace(step, outcome=StepOutcome.FAIL) != steps[-1]:
            yield step


def _settle(decision: Decision) -> Accept | Refuse:
    """Refuse a request that needs a user's identity, as the live path does without an identity provider."""
    if isinstance(decision, NeedsIdentity):
        return Trace().failed("identity", Reason.IDENTITY_UNAVAILABLE, "no identity provider can be asked")
    return decision


def _check_address(listener: Listener, sender: SimulatedSender, trace: Trace) -> None:
    networks, where = listener.policy.networks, listener.policy.where.get("networks", listener.where)
    words = "any" if networks is None else describe_networks(networks)
    if not contains(networks, sender.address):
        detail = f"{sender.address} is not in the networks of listener {listener.name} ({words})"
        raise _refused(trace, "listener", Reason.ADDRESS_DENIED, detail, where)
    trace.passed("listener", f"{sender.address} may connect to listener {listener.name} (networks: {words})", where)


def _secure(
    listener: Listener, sender: SimulatedSender, trace: Trace
) -> tuple[Entrance | None, VerifiedCertificate | None]:
    """Return the tenant that SNI selects, if it selects one, and the verified client certificate, if one is shown."""
    if listener.tls is None:
        trace.skipped("tls", f"listener {listener.name} is plaintext", listener.where)
        return None, None
    entrance = _select_by_sni(listener, sender, trace)
    # A new context for each simulation: `present` changes its cipher suites.
    tls = ListenerTls(listener)
    context = tls.default if entrance is None else tls.tenant(entrance.tenant.name)
    return entrance, _verify_certificate(context, sender, trace)


def _select_by_sni(listener: Listener, sender: SimulatedSender, trace: Trace) -> Entrance | None:
    """Return the tenant that SNI selects, or None if the request selects it later."""
    try:
        sni = None if sender.sni is None else normalize_server_name(sender.sni.encode())
    except ClientHelloMalformed as error:
        raise _refused(trace, "sni", Reason.CLIENT_HELLO_MALFORMED, str(error)) from None
    entrance = entrance_for_sni(listener.policy, sni)
    if isinstance(entrance, Refuse):
        trace.steps.extend(entrance.trace)
        raise _RefusedEarly(entrance)
    if entrance is not None:
        where = entrance.tenant.where.get("server_names", "")
        trace.passed("sni", f"{sni!r} selects tenant {entrance.tenant.name}", where)
    else:
        trace.skipped("sni", f"{'no server name' if sni is None else repr(sni)}: the tenant is matched by the request")
    return entrance


def _verify_certificate(context: ServerContext, sender: SimulatedSender, trace: Trace) -> VerifiedCertificate | None:
    mode, where = context.client_auth_mode, context.settings.where
    if mode is ClientAuthMode.NONE:
        trace.passed("tls", f"profile {context.profile.name}; no client certificate is asked for", where)
        # A real client sends no certificate that is not asked for. `judge` still gets this one, so that the trace says
        # that it does not count here.
        return for_policy(sender.chain[0]) if sender.chain else None
    try:
        certificate = present(context, sender.chain)
    except Unaccepted as error:
        raise _refused(trace, "tls", error.reason, str(error), where, Alert(error.alert)) from None
    shown = "verified by OpenSSL" if certificate is not None else "none is shown"
    trace.passed("tls", f"profile {context.profile.name}; client certificate {mode}: {shown}", where)
    return certificate


def _read_request(sender: SimulatedSender, certificate: VerifiedCertificate | None, trace: Trace) -> Facts:
    """Encode the sender's A-ASSOCIATE-RQ and read it with the gateway's own parser."""
    proposals = sender.proposals or (Proposal(VERIFICATION_SOP_CLASS),)
    try:
        request = parse_associate_rq(encode_proposals(sender.called, sender.calling, proposals))
    except RequestAmbiguous as error:
        raise _refused(trace, "request", Reason.REQUEST_AMBIGUOUS, str(error)) from None
    except PduError as error:
        refused = request_error(error)
        assert refused.reason is not None
        raise _refused(trace, "request", refused.reason, str(error), answer=refused.answer) from None
    sni = None if sender.sni is None else normalize_server_name(sender.sni.encode())
    return Facts(sender.address, request, time.time(), sni=sni, certificate=certificate)
