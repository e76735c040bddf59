"""Advice for a refused request: the change, in the configuration or on the device, that gets it accepted."""

from proxy.explain.refusals import MANUAL
from proxy.policy.model import Facts, Refuse


def advise(refuse: Refuse, facts: Facts) -> str:
    """Return the manual's advice for a refusal, with the facts of its request filled in.

    Placeholders: source, called, calling; of_tenant (" of tenant NAME" or ""); at (" at FILE:LINE" or "").
    """
    entry = MANUAL[refuse.reason]
    step = refuse.trace[-1] if refuse.trace else None
    return (entry.advice or entry.change).format(
        source=facts.source,
        called=repr(facts.request.called.title),
        calling=repr(facts.request.calling.title),
        of_tenant=f" of tenant {refuse.tenant.name}" if refuse.tenant is not None else "",
        at=f" at {step.where}" if step is not None and step.where else "",
    )
