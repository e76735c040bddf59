"""Latencies in short."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Quantiles:
    """Of so many seconds."""

    seconds: Sequence[float]

    def at(self, share: float) -> float:
        """The value that this share of all does not exceed."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def p99(self) -> float:
        return self.at(0.99)

    def __str__(self) -> str:
        p50, p99, most = (1000 * self.at(share) for share in (0.5, 0.99, 1.0))
        return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {most:.1f} ms of {len(self.seconds)}"
