"""What ends soon: a configured certificate is told of 30, 7 and 1 days before its end and at it, a CRL at its end.

Most CRLs live for days only, so that a warning ahead would always be there: the gauge is for that.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from proxy.config.values import Config
from proxy.observe.certificates import NEXT_UPDATE, NOT_AFTER, certificate_series, crl_series

_DAY = 86_400.0
_STEPS = {NOT_AFTER: (30, 7, 1, 0), NEXT_UPDATE: (0,)}  # days before the end

_Key = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Ending:
    """A line of the log."""

    level: str
    event: str
    fields: dict[str, object]


class ExpiryWatch:
    """Says each of these once, over reloads too. Times in seconds since the epoch."""

    def __init__(self) -> None:
        self._ends: dict[_Key, float] = {}
        self._told: dict[tuple[_Key, float], int] = {}  # a list that is renewed keeps its name
        self._refusing: frozenset[str] = frozenset()
        self._next = -math.inf

    def configure(self, config: Config) -> None:
        """Watch what this configuration names, and nothing else."""
        self._ends = {key: at for key, at in certificate_series(config).items() if key[0] in _STEPS}
        self._told = {known: step for known, step in self._told.items() if self._ends.get(known[0]) == known[1]}
        self._refusing = frozenset(
            labels[0]
            for listener in config.listeners
            for tls in (listener.tls, *listener.tenant_tls.values())
            if tls is not None and tls.client_auth.crl_expired != "accept"
            for _, labels in crl_series(tls.client_auth)
        )
        self._next = -math.inf

    def due(self, now: float) -> Iterator[Ending]:
        """What is to be said now; cheap where that is nothing."""
        if now < self._next:
            return
        self._next = math.inf
        for key, at in self._ends.items():
            told = self._told.get((key, at), math.inf)
            for step in _STEPS[key[0]]:
                if step < told and now < at - step * _DAY:
                    self._next = min(self._next, at - step * _DAY)
                    break
            reached = min((step for step in _STEPS[key[0]] if now >= at - step * _DAY), default=math.inf)
            if reached < told:
                self._told[key, at] = int(reached)
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
