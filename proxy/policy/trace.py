"""Collects the rules that were tried on the way to a decision, in order, and the refusal that ends it."""

from proxy.policy.model import Peer, Refuse, Step, StepOutcome, Tenant
from proxy.policy.reasons import Alert, Answer, Reason, Reject

_NO_REASON_GIVEN = Reject(1, 1, 1)
_CALLING_NOT_RECOGNIZED = Reject(1, 1, 3)
_PERMANENT = 1
#: Reasons that concern the form of the request. They reveal nothing of the configuration, so `uniform_rejects` does not
#: change their answers.
_PROTOCOL = frozenset({Reason.PROTOCOL_VERSION, Reason.APPLICATION_CONTEXT})


class Trace:
    """The steps of one decision, and the refusals that observe mode has let pass so far."""

    __slots__ = ("steps", "would_refuse")

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.would_refuse: list[Reason] = []

    def passed(self, rule: str, detail: str, where: str = "") -> None:
        """Add a rule that is met."""
        self.steps.append(Step(rule, StepOutcome.PASS, detail, where))

    def noted(self, rule: str, detail: str, where: str = "") -> None:
        """Add a rule that would cut something without refusing the association; observe mode does not cut."""
        self.steps.append(Step(rule, StepOutcome.WOULD_REFUSE, detail, where))

    def skipped(self, rule: str, detail: str, where: str = "") -> None:
        """Add a rule or peer that does not concern this association, or a condition of a peer that is not met."""
        self.steps.append(Step(rule, StepOutcome.SKIP, detail, where))

    def failed(
        self,
        rule: str,
        reason: Reason,
        detail: str,
        where: str = "",
        *,
        tenant: Tenant | None = None,
        peer: Peer | None = None,
        uniform: bool | None = None,
    ) -> Refuse:
        """Add the last step and return the refusal. `uniform` None: as the tenant is configured."""
        self.steps.append(Step(rule, StepOutcome.FAIL, detail, where))
        if uniform is None:
            uniform = tenant is not None and tenant.uniform_rejects
        return Refuse(reason, answer_to(reason, uniform=uniform), detail, tenant, peer, tuple(self.steps))

    def observed(self, tenant: Tenant, now: float, rule: str, reason: Reason, detail: str, where: str = "") -> bool:
        """Return whether observe mode lets a refusal pass, and add it as a step if so."""
        if not tenant.observes(now) or not reason.observable:
            return False
        self.would_refuse.append(reason)
        text = f"{detail}; passes because of observe_until, would be refused as {reason}"
        self.steps.append(Step(rule, StepOutcome.WOULD_REFUSE, text, where))
        return True


def answer_to(reason: Reason, *, uniform: bool) -> Answer:
    """Return the answer to a complete request. `uniform`: replace the triple of a permanent rejection by 1/1/1."""
    answer = reason.answer
    if answer == Alert():
        # An alert belongs to the handshake. A fault that the gateway finds after it is answered when the request comes.
        answer = _CALLING_NOT_RECOGNIZED
    if uniform and isinstance(answer, Reject) and answer.result == _PERMANENT and reason not in _PROTOCOL:
        return _NO_REASON_GIVEN
    return answer
