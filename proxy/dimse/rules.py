from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ContextRules:
    from_requestor: frozenset[int]
    from_acceptor: frozenset[int]
    group: str
    abstract_syntax: str

def context_rules(sop_class, abstract_syntax, operations, *, requestor_scu, requestor_scp):
    from proxy.dimse.command import REQUESTS
    return ContextRules(frozenset(REQUESTS), frozenset(REQUESTS), "other", abstract_syntax)
