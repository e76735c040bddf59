"""The UIDs of PS3.6 as pydicom knows them: which operation each SOP class belongs to, and the keywords of both kinds.

Read by the supervisor alone, once; workers are handed the table.
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

#: What the keyword of a SOP class says of its operation: the first that fits.
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
#: What the keyword of a storage class says of its group: the first that fits.
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
    """Every SOP class that the Standard knows or knew, by its UID."""
    return {uid: sop_class_of(uid, keyword) for uid, (kind, keyword) in _known().items() if kind == SOP_CLASS}


def sop_class_of(uid: str, keyword: str) -> SopClass:
    """What a SOP class of the Standard belongs to. `keyword` is empty for a few retired ones."""
    operation = next((operation for pattern, operation in _OPERATIONS if pattern.match(keyword)), None)
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
    """The UID that a UID or keyword stands for. Private UIDs are known to nobody and may be meant.

    Raises ValueError for a keyword that PS3.6 has not, and for what it knows to be of another kind.
    """
    uid = text if text[0].isdigit() else _keywords().get(text)
    if uid is None:
        raise ValueError(f"{text} is no keyword of a {kind}{_suggested(text, kind)}")
    known = _known().get(uid)
    if known is not None and known[0] != kind:
        raise ValueError(f"{text} is a {known[0]}, not a {kind}" if known[0] else f"{text} is no {kind}")
    return uid


def keyword_of(uid: str) -> str:
    """The keyword of a UID; "" where it has none."""
    return _known().get(uid, ("", ""))[1]


def _suggested(text: str, kind: str) -> str:
    keywords = [keyword for known, keyword in _known().values() if known == kind and keyword]
    return did_you_mean(text, keywords, fold_case=True) or ": write its UID, or the keyword of PS3.6"


@cache
def _known() -> Mapping[str, tuple[str, str]]:
    """UID -> (SOP_CLASS, TRANSFER_SYNTAX or "", keyword)."""
    from pydicom._uid_dict import UID_dictionary

    return {uid: (_KINDS.get(entry[1], ""), entry[4]) for uid, entry in UID_dictionary.items()}


@cache
def _keywords() -> Mapping[str, str]:
    return {keyword: uid for uid, (_, keyword) in _known().items() if keyword}
