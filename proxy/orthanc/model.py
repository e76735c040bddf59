"""The part of an Orthanc configuration that decides on associations and operations, as typed values. Pure.

Keys, types and defaults are those of Orthanc 1.10.1 (Debian 12) to 1.12, which have the same defaults.
`DicomTlsMinimumProtocolVersion` and `DicomTlsCiphersAccepted` came with 1.12.4; earlier versions ignore them.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from proxy.config import scalars
from proxy.config.quoting import shown
from proxy.orthanc.text import OrthancError

T = TypeVar("T", bool, int, str)

#: `Allow*` of a modality -> our operation, in the order of the generated `allow`.
OPERATIONS = {
    "AllowEcho": "echo",
    "AllowStore": "store",
    "AllowFind": "find",
    "AllowFindWorklist": "worklist",
    "AllowGet": "get",
    "AllowMove": "move",
}
#: `DicomAlwaysAllow*` -> our operation, and the default: allowed to every sender, listed or not.
ALWAYS = {
    "DicomAlwaysAllowEcho": ("echo", True),
    "DicomAlwaysAllowStore": ("store", True),
    "DicomAlwaysAllowFind": ("find", False),
    "DicomAlwaysAllowFindWorklist": ("worklist", False),
    "DicomAlwaysAllowGet": ("get", False),
    "DicomAlwaysAllowMove": ("move", False),
}
_COMMITMENT = ("AllowNAction", "AllowEventReport")
#: Keys for the associations that Orthanc itself requests.
_OUTGOING = ("Port", "Manufacturer", "AllowTranscoding", "UseDicomTls", "LocalAet", "Timeout", "RetrieveMethod")
_MODALITY_KEYS = frozenset({"AET", "Host", *OPERATIONS, *_COMMITMENT, "AllowStorageCommitment", *_OUTGOING})
#: One of these is enough to recognise an Orthanc configuration. They do not concern a gateway.
_FAMILIAR = frozenset(
    {"Name", "StorageDirectory", "IndexDirectory", "HttpPort", "HttpServerEnabled", "OrthancPeers", "Plugins",
     "RegisteredUsers", "RemoteAccessAllowed", "AuthenticationEnabled", "DicomScpTimeout", "DicomScuTimeout"}
)  # fmt: skip
_SYNTAX_FLAGS = (
    "DeflatedTransferSyntaxAccepted",
    "JpegTransferSyntaxAccepted",
    "Jpeg2000TransferSyntaxAccepted",
    "JpegLosslessTransferSyntaxAccepted",
    "JpipTransferSyntaxAccepted",
    "Mpeg2TransferSyntaxAccepted",
    "Mpeg4TransferSyntaxAccepted",
    "RleTransferSyntaxAccepted",
    "H265TransferSyntaxAccepted",
)


@dataclass(frozen=True, slots=True)
class Modality:
    """One entry of DicomModalities. `operations`: words of `allow`; `outgoing`: keys of `_OUTGOING` that it sets."""

    name: str
    aet: str
    host: str
    operations: frozenset[str]
    half_commitment: bool = False  # AllowNAction and AllowEventReport differ
    outgoing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DicomTls:
    """The DicomTls* keys of an Orthanc with DicomTlsEnabled."""

    certificate: str
    private_key: str
    trusted: str
    certificate_required: bool
    minimum_version: int
    ciphers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Orthanc:
    """The imported values of one configuration, with Orthanc's defaults filled in."""

    aet: str
    port: int
    check_called_aet: bool
    check_host: bool
    strict_aet: bool
    always: frozenset[str]
    modalities: tuple[Modality, ...]  # by name, the order in which Orthanc looks them up
    in_database: bool
    unknown_sop_classes: bool
    accepted_syntaxes: tuple[str, ...] | None  # UIDs, patterns with * and ?; None: all
    syntax_flags: Mapping[str, bool]
    tls: DicomTls | None
    others: tuple[str, ...] = ()  # keys without a meaning here
    misspelt: Mapping[str, str] = field(default_factory=dict)  # unknown key -> the key that is probably meant


class _Members:
    """Reads typed members of a JSON object. Collects the problems, so that all of them are reported at once."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.problems = list[str]()
        self.read = set[str]()

    def get(self, key: str, default: T) -> T:
        """Return the member, or the default if it is missing or has another type."""
        self.read.add(key)
        value = self.values.get(key, default)
        # Not isinstance: in Python a bool is an int, and `"DicomPort": true` would pass as port 1.
        if type(value) is type(default):
            return value
        kind = {bool: "true or false", int: "a whole number", str: "a string"}[type(default)]
        self.problems.append(f"{key}: {_written(value)} is not {kind}")
        return default

    def strings(self, key: str) -> tuple[str, ...] | None:
        """Return a list of strings; a single string counts as a list of one. None if the member is missing."""
        self.read.add(key)
        if key not in self.values:
            return None
        value = self.values[key]
        items = [value] if isinstance(value, str) else value
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return tuple(items)
        self.problems.append(f"{key}: {_written(value)} is not a list of strings")
        return ()


def read_orthanc(values: Mapping[str, Any]) -> Orthanc:
    """Return the typed values. Raises OrthancError with all problems."""
    reader = _Members(values)
    in_database = reader.get("DicomModalitiesInDatabase", False)
    enabled = reader.get("DicomServerEnabled", True)
    result = Orthanc(
        aet=reader.get("DicomAet", "ORTHANC"),
        port=reader.get("DicomPort", 4242),
        check_called_aet=reader.get("DicomCheckCalledAet", False),
        check_host=reader.get("DicomCheckModalityHost", False),
        strict_aet=reader.get("StrictAetComparison", False),
        always=frozenset(word for key, (word, default) in ALWAYS.items() if reader.get(key, default)),
        modalities=_modalities(reader),
        in_database=in_database,
        unknown_sop_classes=reader.get("UnknownSopClassAccepted", False),
        accepted_syntaxes=reader.strings("AcceptedTransferSyntaxes"),
        syntax_flags={key: reader.get(key, True) for key in _SYNTAX_FLAGS if key in values},
        tls=_tls(reader),
    )
    known = reader.read | set(_SYNTAX_FLAGS)
    if not any(key in known or key in _FAMILIAR for key in values):
        raise OrthancError(["not an Orthanc configuration: it has no key of Orthanc's"])
    if not 1 <= result.port <= 65_535:
        reader.problems.append(f"DicomPort: {result.port} is not in 1..65535")
    if result.check_called_aet:  # otherwise the title is not used, and any text may stand there
        try:
            scalars.literal_ae_title(result.aet)
        except ValueError as error:
            reader.problems.append(f"DicomAet: {error}")
    if not enabled:
        reader.problems.append(
            "DicomServerEnabled is false: this Orthanc accepts no associations, so there is nothing to import"
        )
    if reader.problems:
        raise OrthancError(reader.problems)
    others = sorted(key for key in values if key not in known)
    misspelt = {key: near[0] for key in others if (near := difflib.get_close_matches(key, sorted(known), 1, 0.85))}
    return replace(result, others=tuple(key for key in others if key not in misspelt), misspelt=misspelt)


def _modalities(reader: _Members) -> tuple[Modality, ...]:
    reader.read.add("DicomModalities")
    entries = reader.values.get("DicomModalities", {})
    if not isinstance(entries, dict):
        reader.problems.append(f"DicomModalities: {_written(entries)} is not an object of modalities by name")
        return ()
    found = (_modality(name, entries[name], reader.problems) for name in sorted(entries))
    return tuple(modality for modality in found if modality is not None)


def _modality(name: str, entry: object, problems: list[str]) -> Modality | None:
    where = f"DicomModalities.{name if name.isidentifier() else shown(name)}"
    if isinstance(entry, list):  # the short form
        if not (3 <= len(entry) <= 4 and all(isinstance(item, str) for item in (*entry[:2], *entry[3:]))):
            problems.append(
                f"{where}: expected [AET, host, port] or [AET, host, port, manufacturer], all strings except the port"
            )
            return None
        entry = dict(zip(("AET", "Host", "Port", "Manufacturer"), entry, strict=False))
    if not isinstance(entry, dict):
        problems.append(f"{where}: {_written(entry)} is neither [AET, host, port] nor an object")
        return None
    reader = _Members(entry)
    missing = [key for key in ("AET", "Host", "Port") if key not in entry]
    aet, host = reader.get("AET", ""), reader.get("Host", "")
    operations = {word for key, word in OPERATIONS.items() if reader.get(key, True)}
    commitment = [reader.get(key, True) for key in _COMMITMENT]
    if "AllowStorageCommitment" in entry:  # stands for both, and overrides them
        commitment = [reader.get("AllowStorageCommitment", True)] * 2
    if all(commitment):
        operations.add("storage_commitment")
    problems += [f"{where}: {key} is missing" for key in missing]
    problems += [f"{where}.{problem}" for problem in reader.problems]
    if "Port" in entry and not _is_port(entry["Port"]):
        problems.append(f"{where}.Port: {_written(entry['Port'])} is not a port in 1..65534")
    return Modality(
        name=name,
        aet=aet,
        host=host,
        operations=frozenset(operations),
        half_commitment=any(commitment) and not all(commitment),
        # Every modality has a Port and a Manufacturer: naming them says nothing.
        outgoing=tuple(key for key in _OUTGOING if key in entry and key not in ("Port", "Manufacturer")),
        unknown=tuple(sorted(key for key in entry if key not in _MODALITY_KEYS)),
    )


def _is_port(value: object) -> bool:
    """Return whether Orthanc accepts a value as the Port of a modality: a number, or a string of digits."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 5:
        value = int(value)
    return type(value) is int and 1 <= value < 65_535


def _tls(reader: _Members) -> DicomTls | None:
    # Read every key even if TLS is off: keys that were not read are listed as unknown.
    tls = DicomTls(
        certificate=reader.get("DicomTlsCertificate", ""),
        private_key=reader.get("DicomTlsPrivateKey", ""),
        trusted=reader.get("DicomTlsTrustedCertificates", ""),
        certificate_required=reader.get("DicomTlsRemoteCertificateRequired", True),
        minimum_version=reader.get("DicomTlsMinimumProtocolVersion", 0),
        ciphers=reader.strings("DicomTlsCiphersAccepted") or (),
    )
    if not reader.get("DicomTlsEnabled", False):
        return None
    needed = {"DicomTlsCertificate": tls.certificate, "DicomTlsPrivateKey": tls.private_key}
    if tls.certificate_required:
        needed["DicomTlsTrustedCertificates"] = tls.trusted
    reader.problems += [f"{key} is missing, and DicomTlsEnabled is true" for key, value in needed.items() if not value]
    if not 0 <= tls.minimum_version <= 5:
        reader.problems.append(f"DicomTlsMinimumProtocolVersion: {tls.minimum_version} is not in 0..5")
    return tls


def _written(value: object) -> str:
    """Return a value for a message. The contents of lists and objects stay out: they may hold passwords."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list() | dict():
            return "a list" if isinstance(value, list) else "an object"
        case _:
            return shown(str(value))
