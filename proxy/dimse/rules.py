"""Which DIMSE requests may go which way on an accepted presentation context.

By the service class of its abstract syntax (PS3.4), the operations that are allowed and the roles that were negotiated
(PS3.7 section D.3.3.4): what an SCU sends comes from the requestor where it is the SCU, and from the acceptor where the
requestor is the SCP.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from proxy.dimse.command import (
    C_CANCEL,
    C_ECHO,
    C_FIND,
    C_GET,
    C_MOVE,
    C_STORE,
    N_ACTION,
    N_CREATE,
    N_DELETE,
    N_EVENT_REPORT,
    N_GET,
    N_SET,
    REQUESTS,
)
from proxy.dimse.services import ALL, Operation, SopClass, is_storage, permitted

_NONE: frozenset[int] = frozenset()
_EVERY = frozenset(REQUESTS)
_STORE = frozenset({C_STORE})
_EVENTS = frozenset({N_EVENT_REPORT})

#: Operation -> what its SCU and what its SCP may ask for. Storage is ruled below.
_SERVICES: Mapping[Operation, tuple[frozenset[int], frozenset[int]]] = {
    Operation.ECHO: (frozenset({C_ECHO}), _NONE),
    Operation.FIND: (frozenset({C_FIND, C_CANCEL}), _NONE),
    Operation.WORKLIST: (frozenset({C_FIND, C_CANCEL}), _NONE),
    Operation.MOVE: (frozenset({C_MOVE, C_CANCEL}), _NONE),
    Operation.GET: (frozenset({C_GET, C_CANCEL}), _NONE),
    # PS3.4 Table J.3.1-1. A PACS that brings the result on an association of its own is to negotiate the SCP role for
    # that (section J.3.3), and not every one does.
    Operation.STORAGE_COMMITMENT: (frozenset({N_ACTION}) | _EVENTS, _EVENTS),
    Operation.MPPS: (frozenset({N_CREATE, N_SET, N_GET}), _EVENTS),  # PS3.4 annex F.7 to F.9
    # One procedure step is worked on through all the UPS classes (PS3.4 Table CC.2-1), so none is told from another.
    Operation.UPS: (frozenset({N_CREATE, N_SET, N_GET, N_ACTION, C_FIND, C_CANCEL}), _EVENTS),
    Operation.PRINT: (frozenset({N_CREATE, N_SET, N_GET, N_DELETE, N_ACTION}), _EVENTS),  # PS3.4 annex H
}


@dataclass(frozen=True, slots=True)
class ContextRules:
    """Command fields (PS3.7 Table E.1-1) of the requests that may go each way on one presentation context.

    `group`: of the instances stored on it (`SOP_CLASS_GROUPS`).
    """

    from_requestor: frozenset[int]
    from_acceptor: frozenset[int]
    group: str
    abstract_syntax: str

    def requests(self, *, from_requestor: bool) -> frozenset[int]:
        """Those of one direction."""
        return self.from_requestor if from_requestor else self.from_acceptor


# Asked for each accepted context of each association. A device has the same few each time; strangers that make up
# abstract syntaxes make others' rules be worked out again, no more.
@lru_cache(maxsize=4096)
def context_rules(
    sop_class: SopClass,
    abstract_syntax: str,
    operations: frozenset[str],
    *,
    requestor_scu: bool,
    requestor_scp: bool,
) -> ContextRules:
    """The rules of a context. `operations` is what `services.expand` gives, and empty where the policy would cut it.

    The roles are those that the answer to the request granted.
    """
    if ALL in operations:
        from_requestor = from_acceptor = _EVERY
    elif is_storage(sop_class):
        from_requestor, from_acceptor = _storage(sop_class, operations, requestor_scu, requestor_scp)
    elif sop_class.operation not in operations:
        from_requestor = from_acceptor = _NONE
    elif sop_class.operation is Operation.OTHER:
        from_requestor = from_acceptor = _EVERY
    else:
        scu, scp = _SERVICES[sop_class.operation]
        from_requestor = (scu if requestor_scu else _NONE) | (scp if requestor_scp else _NONE)
        from_acceptor = (scp if requestor_scu else _NONE) | (scu if requestor_scp else _NONE)
    return ContextRules(from_requestor, from_acceptor, sop_class.group, abstract_syntax)


def _storage(
    sop_class: SopClass, operations: frozenset[str], requestor_scu: bool, requestor_scp: bool
) -> tuple[frozenset[int], frozenset[int]]:
    """C-STORE alone: from the requestor what it stores, from the acceptor what the requestor retrieves by C-GET."""
    if sop_class.operation is Operation.STORE and Operation.OTHER in operations:
        return _EVERY, _EVERY  # private or unknown: perhaps no storage class at all
    may = permitted(operations)
    stores = requestor_scu and sop_class.operation in may.as_scu
    retrieves = requestor_scp and sop_class.operation in may.as_scp
    return (_STORE if stores else _NONE), (_STORE if retrieves else _NONE)
