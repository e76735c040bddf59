"""Advice for a refused request: the change in the configuration or on the device with which it is accepted."""

from proxy.explain.refusals import MANUAL
from proxy.policy.model import Facts, Refuse


def advise(refuse: Refuse, facts: Facts) -> str:
    """Return the manual's advice for a refusal, with the facts of its request filled in.

    Placeholders of an entry's `advice`: source, called, calling; of_tenant, to_tenant and at, which are " of tenant
    NAME", " to tenant NAME" and " at FILE:LINE", or empty.
    """
    entry = MANUAL[refuse.reason]
    tenant = None if refuse.tenant is None else refuse.tenant.name
    where = refuse.trace[-1].where if refuse.trace else ""
    return (entry.advice or entry.change).format(
        source=facts.source,
        called=repr(facts.request.called.title),
        calling=repr(facts.request.calling.title),
        of_tenant=f" of tenant {tenant}" if tenant else "",
        to_tenant=f" to tenant {tenant}" if tenant else "",
        at=f" at {where}" if where else "",
    )
