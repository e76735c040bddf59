"""What a presentation context is for: the operation of `allow` that its abstract syntax belongs to.

The table of known SOP classes is made from a UID dictionary by whoever reads one; here it is only looked into.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache


class Operation(enum.StrEnum):
    """The words of `allow` that are not presets."""

    ECHO = "echo"
    STORE = "store"  # standard storage classes, and private and unknown classes
    STORE_STANDARD = "store_standard"
    FIND = "find"
    WORKLIST = "worklist"
    MOVE = "move"
    GET = "get"
    STORAGE_COMMITMENT = "storage_commitment"
    MPPS = "mpps"
    UPS = "ups"
    PRINT = "print"
    OTHER = "other"


#: The preset that stands for everything, commands on private classes included.
ALL = "all"
PRESETS: Mapping[str, frozenset[str]] = {
    ALL: frozenset({ALL}),
    "modality": frozenset(
        {Operation.ECHO, Operation.STORE, Operation.WORKLIST, Operation.MPPS, Operation.STORAGE_COMMITMENT}
    ),
    "viewer": frozenset({Operation.ECHO, Operation.FIND, Operation.MOVE, Operation.GET}),
}

#: The values of the label `sop_class` of `instances_stored_total`.
SOP_CLASS_GROUPS = (
    "ct", "mr", "us", "cr_dx", "mg", "nm_pt", "xa", "rt", "sr", "ps", "seg", "video", "document", "sc", "other",
)  # fmt: skip
OTHER_GROUP = "other"


@dataclass(frozen=True, slots=True)
class SopClass:
    """What an abstract syntax belongs to.

    `operation`: STORE_STANDARD for the storage classes of the Standard, STORE for private and unknown classes, of which
    nobody can say what they are for; else its own. `group`: of SOP_CLASS_GROUPS.
    """

    operation: Operation
    group: str = OTHER_GROUP


UNKNOWN = SopClass(Operation.STORE)


def classify(uid: str, table: Mapping[str, SopClass]) -> SopClass:
    """The class of an abstract syntax; `table` holds those that the Standard knows."""
    return table.get(uid, UNKNOWN)


def expand(words: Iterable[str]) -> frozenset[str]:
    """`allow` with presets written out, but for ALL, which stays and stands for everything."""
    operations = frozenset[str]().union(*(PRESETS.get(word, (word,)) for word in words))
    return PRESETS[ALL] if ALL in operations else operations


def is_storage(sop_class: SopClass) -> bool:
    """Whether instances of the class are stored; of a private or unknown class it is taken that they are."""
    return sop_class.operation in _STORAGE


@dataclass(frozen=True, slots=True)
class Permitted:
    """The classes (by their operation) of which a requestor may be SCU, and SCP: what it may ask for, and be asked."""

    as_scu: frozenset[str]
    as_scp: frozenset[str]


@lru_cache(maxsize=4096)  # keys come from the configuration alone
def permitted(operations: frozenset[str]) -> Permitted:
    """What `operations` (as `expand` gives them) come to.

    An SCU of storage sends instances: `store`. An SCP of storage is sent them, which is how C-GET delivers: `get`. What
    a private or unknown class is for beyond that, `other` leaves open.
    """
    if ALL in operations:
        return Permitted(frozenset(Operation), frozenset(Operation))
    both = operations - _STORAGE
    as_scu, as_scp = set(both), set(both)
    if Operation.STORE in operations:
        as_scu |= _STORAGE
    if Operation.STORE_STANDARD in operations:
        as_scu.add(Operation.STORE_STANDARD)
    if Operation.GET in operations:
        as_scp |= _STORAGE
    if Operation.OTHER in operations:
        as_scu.add(Operation.STORE)
        as_scp.add(Operation.STORE)
    return Permitted(frozenset(as_scu), frozenset(as_scp))


_STORAGE: frozenset[str] = frozenset({Operation.STORE, Operation.STORE_STANDARD})
