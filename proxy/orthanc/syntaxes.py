"""The transfer syntaxes that Orthanc accepts for C-STORE. Pure.

AcceptedTransferSyntaxes selects first, then each *TransferSyntaxAccepted adds or removes a group.
"""

import re

from proxy.orthanc.model import Orthanc

_DICOM = "1.2.840.10008.1.2"
_COMPRESSED = f"{_DICOM}.4"
#: Orthanc accepts these for every operation but C-STORE, whatever the configuration says.
GENERAL = (_DICOM, f"{_DICOM}.1", f"{_DICOM}.2")


def _encapsulated(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{_COMPRESSED}.{number}" for number in numbers)


_GROUPS = {
    "DeflatedTransferSyntaxAccepted": (f"{_DICOM}.1.99",),
    "JpegTransferSyntaxAccepted": _encapsulated(*range(50, 67), 70),
    "JpegLosslessTransferSyntaxAccepted": _encapsulated(80, 81),  # JPEG-LS, in spite of the name
    "Jpeg2000TransferSyntaxAccepted": _encapsulated(*range(90, 94)),
    "JpipTransferSyntaxAccepted": _encapsulated(94, 95),
    "Mpeg2TransferSyntaxAccepted": _encapsulated(100, 101),
    "Mpeg4TransferSyntaxAccepted": _encapsulated(*range(102, 107)),
    "H265TransferSyntaxAccepted": _encapsulated(107, 108),
    "RleTransferSyntaxAccepted": (f"{_DICOM}.5",),
}
#: In no group: HTJ2K, which later versions of Orthanc added, MIME encapsulation and XML.
_UNGROUPED = (*_encapsulated(*range(201, 206)), f"{_DICOM}.6.1", f"{_DICOM}.6.2")
_KNOWN = (*GENERAL, *(uid for group in _GROUPS.values() for uid in group), *_UNGROUPED)


def accepted_for_storage(orthanc: Orthanc) -> tuple[str, ...] | None:
    """Return the accepted UIDs, or None if Orthanc accepts all."""
    accepted = set(_KNOWN)
    if orthanc.accepted_syntaxes is not None:
        patterns = [_pattern(text) for text in orthanc.accepted_syntaxes]
        accepted = {uid for uid in _KNOWN if any(pattern.fullmatch(uid) for pattern in patterns)}
    for flag, accepts in orthanc.syntax_flags.items():
        accepted = accepted | set(_GROUPS[flag]) if accepts else accepted - set(_GROUPS[flag])
    return None if accepted == set(_KNOWN) else tuple(uid for uid in _KNOWN if uid in accepted)


def unknown_syntaxes(orthanc: Orthanc) -> list[str]:
    """Return the entries of AcceptedTransferSyntaxes that match no transfer syntax."""
    return [text for text in orthanc.accepted_syntaxes or () if not any(map(_pattern(text).fullmatch, _KNOWN))]


def _pattern(text: str) -> re.Pattern[str]:
    # A run of stars becomes one: several `.*` in a row make a failing match exponentially slow.
    parts = re.split(r"(\*+|\?)", text)
    return re.compile("".join(".*" if p[:1] == "*" else "." if p == "?" else re.escape(p) for p in parts), re.DOTALL)
