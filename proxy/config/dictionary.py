"""The UIDs of PS3.6 from pydicom's dictionary: their keywords, and the operation of each SOP class.

The supervisor reads it once. Workers get the finished table and never import pydicom, so that they start fast.
"""

import re
from collections.abc import Mapping
from functools import cache

from proxy.config.nearest import did_you_mean
from proxy.dimse.services import OTHER_GROUP, Operation, SopClass

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
SOP_CLASS, TRANSFER_SYNTAX = "SOP class", "transfer syntax"
_KINDS = {"SOP Class": SOP_CLASS, "Meta SOP Class": SOP_CLASS, "Transfer Syntax": TRANSFER_SYNTAX}

_STORAGE_CLASSES = "1.2.840.10008.5.1.4.1.1."
_SR_CLASSES = "1.2.840.10008.5.1.4.1.1.88."
_PRINT_CLASSES = "1.2.840.10008.5.1.1."

#: The operation of a SOP class by its keyword; the first pattern that matches decides.
_OPERATIONS = tuple(
    (re.compile(pattern), operation)
    for pattern, operation in (
        (r"Verification$", Operation.ECHO),
        (r"MediaStorageDirectoryStorage|InventoryCreation|.*MachineVerification", Operation.OTHER),
        (r"StorageCommitment(Push|Pull)Model", Operation.STORAGE_COMMITMENT),
        (r"ModalityPerformedProcedureStep", Operation.MPPS),
        (r"UnifiedProcedureStep", Operation.UPS),
        (r"(Modality|GeneralPurpose)WorklistInformationModelFind", Operation.WORKLIST),
        (r".*(Find|Query)$", Operation.FIND),
        (r".*Move$", Operation.MOVE),
        (r".*Get$", Operation.GET),
        (r".*Storage(Trial|Retired)?$", Operation.STORE_STANDARD),
        (r"MediaCreationManagement|DisplaySystem", Operation.OTHER),
    )
)
#: The group of a storage class, a label of metrics, by its keyword; the first pattern that matches decides.
_GROUPS = tuple(
    (re.compile(pattern), group)
    for pattern, group in (
        (r"RT|CArm|Tomotherap|Robotic|Enhanced(Continuous)?RT", "rt"),
        (r"Video", "video"),
        (r"Encapsulated", "document"),
        (r".*PresentationState", "ps"),
        (r"(Surface)?Segmentation", "seg"),
        (r".*SecondaryCapture", "sc"),
        (r"(LegacyConverted)?(Enhanced)?CTImage", "ct"),
        (r"(LegacyConverted)?(Enhanced)?MR(Image|ColorImage|Spectroscopy)", "mr"),
        (r"Ultrasound|EnhancedUS", "us"),
        (r"ComputedRadiography|DigitalXRay|DigitalIntraOral", "cr_dx"),
        (r"DigitalMammography|BreastTomosynthesis|BreastProjection", "mg"),
        (r"NuclearMedicine|PositronEmission|(LegacyConverted)?(Enhanced)?PETImage|StandalonePET", "nm_pt"),
        (r"XRay(3D|Angiographic|Radiofluoroscopic)|EnhancedXA|EnhancedXRF", "xa"),
    )
)


@cache
def sop_classes() -> Mapping[str, SopClass]:
    """Return every SOP class of the Standard by UID, including the retired ones."""
    return {uid: sop_class_of(uid, keyword) for uid, (kind, keyword) in _known().items() if kind == SOP_CLASS}


def sop_class_of(uid: str, keyword: str) -> SopClass:
    """Return operation and group of a SOP class of the Standard. `keyword` is empty for a few retired ones."""
    operation = next((operation for pattern, operation in _OPERATIONS if pattern.match(keyword)), None)
    # Retired classes without a keyword, and new ones that no pattern knows: the root of the UID decides.
    if operation is None:
        if uid.startswith(_STORAGE_CLASSES):
            operation = Operation.STORE_STANDARD
        else:
            operation = Operation.PRINT if uid.startswith(_PRINT_CLASSES) else Operation.OTHER
    if operation is not Operation.STORE_STANDARD:
        return SopClass(operation)
    if uid.startswith(_SR_CLASSES):
        return SopClass(operation, "sr")
    return SopClass(operation, next((group for pattern, group in _GROUPS if pattern.match(keyword)), OTHER_GROUP))


def uid_of(text: str, kind: str) -> str:
    """Return the UID for a UID or keyword of `kind`. A UID that PS3.6 does not define may be private: it is accepted.

    Raises ValueError for a keyword that PS3.6 does not define, and for a UID that it defines as another kind.
    """
    uid = text if text[0].isdigit() else _keywords().get(text)
    if uid is None:
        raise ValueError(f"{text} is not the keyword of a {kind}{_suggested(text, kind)}")
    known = _known().get(uid)
    if known is not None and known[0] != kind:
        raise ValueError(f"{text} is a {known[0]}, not a {kind}" if known[0] else f"{text} is not a {kind}")
    return uid


def keyword_of(uid: str) -> str:
    """Return the keyword of a UID, or "" if PS3.6 has none."""
    return _known().get(uid, ("", ""))[1]


def _suggested(text: str, kind: str) -> str:
    keywords = [keyword for known, keyword in _known().values() if known == kind and keyword]
    return did_you_mean(text, keywords, fold_case=True) or ": write its UID, or its keyword in PS3.6"


@cache
def _known() -> Mapping[str, tuple[str, str]]:
    """Return UID -> (kind, keyword). The kind is SOP_CLASS, TRANSFER_SYNTAX, or "" for anything else."""
    # pydicom's public function looks up one UID; the suggestions for misspelt keywords need all of them.
    from pydicom._uid_dict import UID_dictionary

    return {uid: (_KINDS.get(entry[1], ""), entry[4]) for uid, entry in UID_dictionary.items()}


@cache
def _keywords() -> Mapping[str, str]:
    return {keyword: uid for uid, (_, keyword) in _known().items() if keyword}
