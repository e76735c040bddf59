from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ContextRules:
    from_requestor: frozenset[int]
    from_acceptor: frozenset[int]
    group: str
    abstract_syntax: str
