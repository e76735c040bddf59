"""The permissions of each peer in words, for `dicomgate check`."""

from collections.abc import Iterator
from dataclasses import dataclass

from proxy.config.dictionary import keyword_of
from proxy.dimse.services import ALL, Operation
from proxy.policy import Peer, Tenant

_WORDS = {
    Operation.ECHO: "echo",
    Operation.STORE: "store (private classes too)",
    Operation.STORE_STANDARD: "store standard classes",
    Operation.FIND: "query",
    Operation.WORKLIST: "read worklists",
    Operation.MOVE: "retrieve by C-MOVE ({})",
    Operation.GET: "retrieve by C-GET",
    Operation.STORAGE_COMMITMENT: "ask for storage commitment",
    Operation.MPPS: "report performed procedure steps",
    Operation.UPS: "work on unified procedure steps",
    Operation.PRINT: "print",
    Operation.OTHER: "use private and all other services",
}


@dataclass(frozen=True, slots=True)
class EffectivePeer:
    """A peer. Presets are expanded to operations; SOP classes and transfer syntaxes are keywords where they have one.

    `may`: all permissions in one sentence.
    """

    name: str
    where: str
    aet: tuple[str, ...]
    action: str  # accept | refuse
    operations: tuple[str, ...]
    sop_classes: tuple[str, ...] | str
    transfer_syntaxes: tuple[str, ...] | str
    move_destinations: tuple[str, ...] | str
    may: str


def describe_peers(tenant: Tenant) -> tuple[EffectivePeer, ...]:
    """Return the permissions of every peer of a tenant, in the order of the file."""
    return tuple(map(_describe, tenant.peers))


def _describe(peer: Peer) -> EffectivePeer:
    return EffectivePeer(
        name=peer.name,
        where=peer.where,
        aet=peer.aet,
        action="refuse" if peer.refuse else "accept",
        operations=tuple(word for word in (ALL, *Operation) if word in peer.allow),
        sop_classes=_named(peer.sop_classes),
        transfer_syntaxes=_named(peer.transfer_syntaxes),
        move_destinations="any" if peer.move_destinations is None else peer.move_destinations,
        may="; ".join(_sentences(peer)),
    )


def _sentences(peer: Peer) -> Iterator[str]:
    destinations = "any title" if peer.move_destinations is None else ", ".join(peer.move_destinations)
    if ALL in peer.allow:
        yield f"do everything (C-MOVE to {destinations})"
    else:
        words = (words for operation, words in _WORDS.items() if operation in peer.allow)
        yield ", ".join(word.format(f"to {destinations}") for word in words)
    for what, uids in (("SOP classes", peer.sop_classes), ("transfer syntaxes", peer.transfer_syntaxes)):
        if uids is not None:
            yield f"only {what} {', '.join(_named(uids))}"
    if peer.rewrite_calling_aet is not None:
        yield f"calling AE title sent to the upstream: {peer.rewrite_calling_aet}"


def _named(uids: frozenset[str] | None) -> tuple[str, ...] | str:
    return "any" if uids is None else tuple(sorted(keyword_of(uid) or uid for uid in uids))
