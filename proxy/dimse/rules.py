"""The DIMSE requests that may go each way on an accepted presentation context.

They follow from the service class of its abstract syntax (PS3.4), the allowed operations and the negotiated roles
(PS3.7 section D.3.3.4). Requests of an SCU come from the requestor if the requestor is SCU, and from the acceptor if
the requestor is SCP; with both roles negotiated they may come from either.
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

#: Operation -> requests of its SCU, and of its SCP. Storage is in `_storage`.
_SERVICES: Mapping[Operation, tuple[frozenset[int], frozenset[int]]] = {
    Operation.ECHO: (frozenset({C_ECHO}), _NONE),
    Operation.FIND: (frozenset({C_FIND, C_CANCEL}), _NONE),
    Operation.WORKLIST: (frozenset({C_FIND, C_CANCEL}), _NONE),
    Operation.MOVE: (frozenset({C_MOVE, C_CANCEL}), _NONE),
    Operation.GET: (frozenset({C_GET, C_CANCEL}), _NONE),
    # PS3.4 Table J.3.1-1. A PACS that sends the result on an association of its own must negotiate the SCP role for it
    # (section J.3.3), but not every PACS does: so its SCU may send N-EVENT-REPORT too.
    Operation.STORAGE_COMMITMENT: (frozenset({N_ACTION}) | _EVENTS, _EVENTS),
    Operation.MPPS: (frozenset({N_CREATE, N_SET, N_GET}), _EVENTS),  # PS3.4 annex F.7 to F.9
    # The UPS classes share their procedure steps (PS3.4 Table CC.2-1), so they share the requests.
    Operation.UPS: (frozenset({N_CREATE, N_SET, N_GET, N_ACTION, C_FIND, C_CANCEL}), _EVENTS),
    Operation.PRINT: (frozenset({N_CREATE, N_SET, N_GET, N_DELETE, N_ACTION}), _EVENTS),  # PS3.4 annex H
}


@dataclass(frozen=True, slots=True)
class ContextRules:
    """Command fields (PS3.7 Table E.1-1) of the requests that may go each way on one presentation context.

    `group`: the group of SOP_CLASS_GROUPS that instances stored on it are counted in.
    """

    from_requestor: frozenset[int]
    from_acceptor: frozenset[int]
    group: str
    abstract_syntax: str

    def requests(self, *, from_requestor: bool) -> frozenset[int]:
        """Return the requests of one direction."""
        return self.from_requestor if from_requestor else self.from_acceptor


# Called for each accepted context of each association. A device has the same few contexts each time. Strangers that
# make up abstract syntaxes can only make rules drop out of the cache, to be computed again.
@lru_cache(maxsize=4096)
def context_rules(
    sop_class: SopClass,
    abstract_syntax: str,
    operations: frozenset[str],
    *,
    requestor_scu: bool,
    requestor_scp: bool,
) -> ContextRules:
    """Return the rules of a context.

    `operations`: as `services.expand` returns them; empty if the policy does not keep the context. The roles are those
    that the A-ASSOCIATE-AC granted.
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
    """Return the rules of a storage class: C-STORE from the requestor to store, from the acceptor to answer C-GET."""
    if sop_class.operation is Operation.STORE and Operation.OTHER in operations:
        return _EVERY, _EVERY  # private or unknown, and perhaps no storage class
    may = permitted(operations)
    stores = requestor_scu and sop_class.operation in may.as_scu
    retrieves = requestor_scp and sop_class.operation in may.as_scp
    return (_STORE if stores else _NONE), (_STORE if retrieves else _NONE)
