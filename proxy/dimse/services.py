"""The operation of `allow` that an abstract syntax belongs to.

The table of known SOP classes is passed in: config builds it from the UID dictionary of pydicom, which this layer must
not import.
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


#: The preset that allows everything, commands on private classes included.
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
    """The operation and the metrics group of an abstract syntax.

    `operation`: STORE_STANDARD for the storage classes of the Standard; STORE for private and unknown classes, whose
    purpose cannot be known. `group`: one of SOP_CLASS_GROUPS.
    """

    operation: Operation
    group: str = OTHER_GROUP


UNKNOWN = SopClass(Operation.STORE)


def classify(uid: str, table: Mapping[str, SopClass]) -> SopClass:
    """Return the class of an abstract syntax. `table` has the classes of the Standard."""
    return table.get(uid, UNKNOWN)


def expand(words: Iterable[str]) -> frozenset[str]:
    """Return `allow` with its presets expanded; only ALL stays as it is and then stands alone."""
    operations = frozenset[str]().union(*(PRESETS.get(word, (word,)) for word in words))
    return PRESETS[ALL] if ALL in operations else operations


def is_storage(sop_class: SopClass) -> bool:
    """Return whether instances of the class are stored. Private and unknown classes are assumed to be stored."""
    return sop_class.operation in _STORAGE


@dataclass(frozen=True, slots=True)
class Permitted:
    """The operations for whose classes a requestor may be SCU (it sends the requests) and SCP (it receives them)."""

    as_scu: frozenset[str]
    as_scp: frozenset[str]


@lru_cache(maxsize=4096)  # keys come from the configuration alone
def permitted(operations: frozenset[str]) -> Permitted:
    """Return the roles that `operations` (as `expand` returns them) permit.

    The SCU of a storage class sends instances, which takes `store`. The SCP of a storage class receives them, which is
    how C-GET delivers, so it takes `get`. `other` permits private and unknown classes in both roles.
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
