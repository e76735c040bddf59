"""The list of peers that decides as Orthanc does by its DicomModalities. Pure.

DicomAlwaysAllow* admits every sender for that operation, listed or not. For other operations the calling AE title must
be that of a modality that allows the operation and, under DicomCheckModalityHost, the source address must be its Host.
Titles are compared without case unless StrictAetComparison is set.

In our policy the first matching peer decides, and a pattern never matches a title that any peer names literally. Hence
the order: for each title one peer for each address, then one that allows what every sender may do, because the last
peer, `*`, does not match this title any more.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from proxy.config import scalars
from proxy.config.quoting import shown
from proxy.orthanc.model import Modality, Orthanc
from proxy.orthanc.syntaxes import accepted_for_storage
from proxy.orthanc.trust import Trust
from proxy.policy.patterns import fold_title, is_title_pattern

_ORDER = ("echo", "store", "store_standard", "find", "worklist", "get", "move", "storage_commitment")
_STORAGE = frozenset({"store", "store_standard"})
_INSTANCES = _STORAGE | {"get"}
_MAXIMUM_NAME = 56  # the name of a peer has at most 64 characters, and a suffix may follow

#: Host -> its addresses; empty for a name that does not resolve.
Addresses = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class PeerEntry:
    """A peer of the tenant with the comments above it. An empty `aet` means comments without a peer."""

    comments: tuple[str, ...]
    name: str = ""
    aet: str = ""
    source: tuple[str, ...] | None = None
    cert: Mapping[str, tuple[str, ...]] | None = None
    allow: tuple[str, ...] = ()
    refuse: bool = False


def host_names(orthanc: Orthanc) -> list[str]:
    """Return the names under Host that must be resolved; none if the import needs no addresses."""
    hosts = dict.fromkeys(modality.host for modality in orthanc.modalities)
    return [host for host in hosts if orthanc.check_host and not orthanc.in_database and not _is_address(host)]


def make_peers(orthanc: Orthanc, addresses: Addresses, trust: Trust) -> list[PeerEntry]:
    """Return the entries in the order of matching. At least one is a peer."""
    names = _Names()
    for_all = _words(orthanc, orthanc.always)
    entries = list[PeerEntry]()
    for modalities in _by_title(orthanc):
        title = modalities[0].aet
        problem = _title_problem(title)
        if problem:
            entries.append(PeerEntry((f"{_called(modalities)}: AET {shown(title)} is left out: {problem}",)))
        elif orthanc.check_host:
            entries += _by_host(orthanc, modalities, addresses, trust, names)
        else:
            entries += _by_title_alone(orthanc, modalities, trust, names)
    if for_all:
        keys = "DicomAlwaysAllow*: what every sender may do, listed above or not."
        entries += _bound(trust, "*", PeerEntry((keys,), names.take("anybody"), "*", allow=for_all), names)
    if not any(entry.aet for entry in entries):
        why = "No sender is admitted: there is no modality, and no DicomAlwaysAllow* is true."
        entries.append(PeerEntry((why,), names.take("nobody"), "*", refuse=True))
    return entries


def _by_title(orthanc: Orthanc) -> list[list[Modality]]:
    """Group the modalities by title: Orthanc considers all modalities with the title of a request."""
    if orthanc.in_database:
        return []
    groups = dict[str, list[Modality]]()
    for modality in orthanc.modalities:
        groups.setdefault(modality.aet if orthanc.strict_aet else fold_title(modality.aet), []).append(modality)
    return list(groups.values())


def _by_title_alone(orthanc: Orthanc, modalities: list[Modality], trust: Trust, names: "_Names") -> list[PeerEntry]:
    comments = [_called(modalities, with_host=True), *_remarks(modalities)]
    # Without the host check, Orthanc allows only what all modalities of a title allow.
    operations = frozenset.intersection(*(modality.operations for modality in modalities)) | orthanc.always
    if len(modalities) > 1:
        comments.append("Orthanc allows what all of these allow, because it does not check the address.")
    title = modalities[0].aet
    entry = _entry(comments, names.take(modalities[0].name), title, None, _words(orthanc, operations))
    return _bound(trust, title, entry, names)


def _by_host(
    orthanc: Orthanc, modalities: list[Modality], addresses: Addresses, trust: Trust, names: "_Names"
) -> list[PeerEntry]:
    """Return the entries of one title: one for each Host, then one for DicomAlwaysAllow* from any address."""
    title = modalities[0].aet
    by_host = dict[str, list[Modality]]()
    for modality in modalities:
        by_host.setdefault(modality.host, []).append(modality)
    entries = list[PeerEntry]()
    for host, there in by_host.items():
        found = (host,) if _is_address(host) else tuple(addresses.get(host, ()))
        entries += _at_host(orthanc, there, found, trust, names)
    if len(by_host) > 1 and entries:
        several = (
            f"{title} is there several times. Here each entry is bound to its own Host. Orthanc allows what they all "
            "allow, from any address; if no DicomAlwaysAllow* is true, it admits only the Host of the first one."
        )
        entries[0] = replace(entries[0], comments=(several, *entries[0].comments))
    if orthanc.always:
        comments = [f"{title} from another address: DicomAlwaysAllow*."]
        name = names.take(f"{modalities[0].name}-elsewhere")
        entry = _entry(comments, name, title, None, _words(orthanc, orthanc.always))
        entries += _bound(trust, title, entry, names)
    return entries


def _at_host(
    orthanc: Orthanc, modalities: list[Modality], found: tuple[str, ...], trust: Trust, names: "_Names"
) -> list[PeerEntry]:
    """Return the entries of the modalities with one title and one Host, whose addresses are `found`."""
    title, host = modalities[0].aet, modalities[0].host
    comments = [_called(modalities), *_remarks(modalities)]
    if not found:
        why = f"Host {shown(host)} did not resolve: left out, so that it admits no sender as {title}."
        return [PeerEntry((*comments, why, "With its address known, add a peer with from: [ADDRESS]."))]
    if not _is_address(host):
        comments.append(
            f"Host {shown(host)}, resolved at the import; later changes of the name have no effect. Orthanc "
            "compares the address with this text, and never finds it equal."
        )
    # With DicomCheckModalityHost, Orthanc allows an operation if any modality of this title and Host allows it.
    operations = frozenset.union(*(modality.operations for modality in modalities)) | orthanc.always
    entry = _entry(comments, names.take(modalities[0].name), title, found, _words(orthanc, operations))
    return _bound(trust, title, entry, names)


def _entry(
    comments: list[str], name: str, title: str, source: tuple[str, ...] | None, allow: tuple[str, ...]
) -> PeerEntry:
    if allow:
        return PeerEntry(tuple(comments), name, title, source, allow=allow)
    # Orthanc would accept the association and then refuse every operation. Here the association is refused.
    return PeerEntry((*comments, "It may do nothing."), name, title, source, refuse=True)


def _bound(trust: Trust, title: str, entry: PeerEntry, names: "_Names") -> list[PeerEntry]:
    """Return the entry once for each kind of certificate that its sender may show."""
    first, *more = (replace(entry, cert=cert or None) for cert in trust.bindings(title))
    comments = ("The same, with a certificate issued by a CA.",)
    return [first, *(replace(e, name=names.take(f"{entry.name}-by-ca"), comments=comments) for e in more)]


def _words(orthanc: Orthanc, operations: frozenset[str]) -> tuple[str, ...]:
    """Return words for `allow`. Without UnknownSopClassAccepted, Orthanc accepts only the standard storage classes."""
    store = "store" if orthanc.unknown_sop_classes else "store_standard"
    words = {store if word == "store" else word for word in operations}
    if accepted_for_storage(orthanc) == ():  # no transfer syntax is left on which a C-STORE could be accepted
        words.discard(store)
    return tuple(word for word in _ORDER if word in words)


def has_instances(entry: PeerEntry) -> bool:
    """Return whether the entry sends or retrieves instances, so that transfer syntaxes matter."""
    return not entry.refuse and not _INSTANCES.isdisjoint(entry.allow)


def only_stores(entry: PeerEntry) -> bool:
    """Return whether the entry allows C-STORE alone."""
    return _STORAGE.issuperset(entry.allow)


def _remarks(modalities: list[Modality]) -> list[str]:
    found = list[str]()
    for modality in modalities:
        if modality.half_commitment:
            found.append(
                f"{modality.name}: AllowNAction and AllowEventReport differ; storage_commitment means both, so it is "
                "not allowed."
            )
        if modality.unknown:
            keys = ", ".join(modality.unknown)
            found.append(f"{modality.name}: unknown to Orthanc, without effect there and here: {keys}")
    return found


def _called(modalities: list[Modality], *, with_host: bool = False) -> str:
    hosts = [f" (Host {modality.host})" if with_host else "" for modality in modalities]
    listed = ", ".join(modality.name + host for modality, host in zip(modalities, hosts, strict=True))
    return f"{'Modality' if len(modalities) == 1 else 'Modalities'} {listed}"


def _title_problem(title: str) -> str:
    """Return why no peer can have this title, or ""."""
    try:
        scalars.ae_title(title)
    except ValueError as error:
        return f"{error}; no sender can use it"
    if is_title_pattern(title):
        return "* and ? would match other titles too; write a peer for it by hand"
    return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


class _Names:
    """Makes names of peers: printable, short and unique."""

    def __init__(self) -> None:
        self._taken = set[str]()

    def take(self, wanted: str) -> str:
        base = re.sub(r"[^A-Za-z0-9._-]", "_", wanted)[:_MAXIMUM_NAME] or "_"
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}-{number}"
        self._taken.add(name)
        return name
