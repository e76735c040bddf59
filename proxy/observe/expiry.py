"""Warnings 30, 7 and 1 days before a configured certificate ends and when it does, and when a CRL ends.

Most CRLs live for a few days, so a warning ahead of their end would never stop. The metric shows how long is left.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from proxy.observe.certificates import NEXT_UPDATE, NOT_AFTER, Ends

_DAY = 86_400.0
_STEPS = {NOT_AFTER: (30, 7, 1, 0), NEXT_UPDATE: (0,)}  # days before the end

_Key = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Ending:
    """One event for the log."""

    level: str
    event: str
    fields: dict[str, object]


class ExpiryWatch:
    """Yields each warning once, also across reloads. Times are seconds since the epoch."""

    def __init__(self) -> None:
        self._ends: dict[_Key, float] = {}
        # (key, end) -> last step warned of. The end belongs to the key because a renewed CRL keeps its labels.
        self._warned: dict[tuple[_Key, float], int] = {}
        self._refusing: frozenset[str] = frozenset()
        self._next = -math.inf  # nothing is due before this time

    def configure(self, ends: Ends) -> None:
        """Watch the certificates and CRLs of this configuration, instead of those of the one before."""
        self._ends = {key: at for key, at in ends.series.items() if key[0] in _STEPS}
        self._warned = {known: step for known, step in self._warned.items() if self._ends.get(known[0]) == known[1]}
        self._refusing = ends.refusing
        self._next = -math.inf

    def due(self, now: float) -> Iterator[Ending]:
        """Yield the warnings that are due. Called at every tick, so it returns at once when none is."""
        if now < self._next:
            return
        self._next = math.inf
        for key, at in self._ends.items():
            warned = self._warned.get((key, at), math.inf)
            for step in _STEPS[key[0]]:
                if step < warned and now < at - step * _DAY:
                    self._next = min(self._next, at - step * _DAY)
                    break
            # After a start or a jump of the clock several steps may have passed: warn of the last one alone.
            reached = min((step for step in _STEPS[key[0]] if now >= at - step * _DAY), default=math.inf)
            if reached < warned:
                self._warned[key, at] = int(reached)
                yield self._ending(key, (at - now) / _DAY)

    def _ending(self, key: _Key, days: float) -> Ending:
        name, labels = key
        if name == NEXT_UPDATE:
            refused = labels[0] in self._refusing
            then = "the certificates of this CA are refused" if refused else "still used (crl_expired: accept)"
            return Ending("error" if refused else "warning", "crl_expired", {"issuer": labels[0], "message": then})
        fields: dict[str, object] = {"use": labels[0], "certificate": labels[1], "serial": labels[2]}
        if days <= 0:
            return Ending("error", "certificate_expired", fields)
        return Ending("warning", "certificate_expires", {**fields, "days_left": round(days, 1)})
