"""Looks up the tenant that an SNI server name (RFC 6066 section 3) selects on a listener."""

import enum
from dataclasses import dataclass

from proxy.policy.model import Entrance, ListenerPolicy


class SniResult(enum.StrEnum):
    """How a server name was found. UNUSED: no tenant of the listener has server names, so SNI selects nothing."""

    EXACT = "exact"
    WILDCARD = "wildcard"
    UNKNOWN = "unknown"
    ABSENT = "absent"
    UNUSED = "unused"


@dataclass(frozen=True, slots=True)
class SniLookup:
    """The result of a look-up; `entrance` is set only for EXACT and WILDCARD."""

    result: SniResult
    entrance: Entrance | None = None


def normalize_server_name(text: str) -> str:
    """Return a server name as policy compares it: in lower case, without one trailing dot."""
    return text.lower().removesuffix(".")


def lookup(listener: ListenerPolicy, sni: str | None) -> SniLookup:
    """Find a server name: an exact name wins, then the wildcard of its parent, whose `*` stands for one label."""
    if not listener.exact_names and not listener.wildcard_names:
        return SniLookup(SniResult.UNUSED)
    if sni is None:
        return SniLookup(SniResult.ABSENT)
    name = normalize_server_name(sni)
    entrance = listener.exact_names.get(name)
    if entrance is not None:
        return SniLookup(SniResult.EXACT, entrance)
    label, _, parent = name.partition(".")
    # `*` and an empty label name no host, so no wildcard matches them.
    entrance = listener.wildcard_names.get(parent) if label.strip("*") else None
    if entrance is not None:
        return SniLookup(SniResult.WILDCARD, entrance)
    return SniLookup(SniResult.UNKNOWN)
