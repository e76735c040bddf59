"""Warnings about what ends: a configured certificate 30, 7 and 1 days before its end and at it, a CRL at its end.

Most CRLs live for days only, so a warning ahead of the end would be there all the time: the metric serves that.
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
    """Yields each warning once, over reloads too. Times in seconds since the epoch."""

    def __init__(self) -> None:
        self._ends: dict[_Key, float] = {}
        self._warned: dict[tuple[_Key, float], int] = {}  # with its end: a list that is renewed keeps its name
        self._refusing: frozenset[str] = frozenset()
        self._next = -math.inf

    def configure(self, ends: Ends) -> None:
        """Watch what one configuration names, and nothing else."""
        self._ends = {key: at for key, at in ends.series.items() if key[0] in _STEPS}
        self._warned = {known: step for known, step in self._warned.items() if self._ends.get(known[0]) == known[1]}
        self._refusing = ends.refusing
        self._next = -math.inf

    def due(self, now: float) -> Iterator[Ending]:
        """Yield the warnings that are due. Cheap where there are none: called at every tick."""
        if now < self._next:
            return
        self._next = math.inf
        for key, at in self._ends.items():
            warned = self._warned.get((key, at), math.inf)
            for step in _STEPS[key[0]]:
                if step < warned and now < at - step * _DAY:
                    self._next = min(self._next, at - step * _DAY)
                    break
            # After a start or a jump of the clock only the last step that was passed is warned of.
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
