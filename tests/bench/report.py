"""The rows of the table: measurements by proxy, and the goal for ours."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.bench.measure import Runs, samples

OURS = "dicomgate"
_NAMES = (OURS, "nginx", "haproxy", "stunnel")
#: The ratio of the largest to the smallest of alternating runs; above it the runs measured other load as well.
_QUIET = 1.25


@dataclass(frozen=True)
class Row:
    """The measurements of the runs by the name of the proxy, and the `summary` that makes one figure of them.

    `bound` holds for ours as a ratio to the peers' best, or absolutely.
    """

    work: str
    unit: str
    samples: dict[str, list[float]]
    bound: float | None = None
    absolute: bool = False
    at_least: bool = False  # more is better: no less than the best peer has
    beside: tuple[str, ...] = _NAMES[1:]  # the peers that ours is held to
    summary: Callable[[list[float]], float] = statistics.median

    @cached_property
    def values(self) -> dict[str, float]:
        """The figures."""
        return {name: self.summary(found) for name, found in self.samples.items()}

    @cached_property
    def noisy(self) -> list[str]:
        """The proxies whose runs differ so much that their median says little."""
        if self.summary is not statistics.median:
            return []
        return [name for name, found in self.samples.items() if max(found) > _QUIET * min(found)]

    @property
    def ratio(self) -> float | None:
        """Ours to the best peer; None without one, or where that measured nothing."""
        peers = [value for name, value in self.values.items() if name in self.beside and name != OURS]
        if not peers:
            return None
        best = max(peers) if self.at_least else min(peers)
        return self.values[OURS] / best if best else None

    @property
    def met(self) -> bool | None:
        """Return whether the goal is met; None without a goal, or without a peer to compare with."""
        figure = self.values[OURS] if self.absolute else self.ratio
        if self.bound is None or figure is None:
            return None
        return figure >= self.bound if self.at_least else figure <= self.bound

    def line(self) -> str:
        """The row as the table shows it."""
        values = "".join(f"{self._shown(name):>11}" for name in _NAMES)
        ratio = f"{self.ratio:>8.2f}" if self.ratio is not None and not self.absolute else f"{'':>8}"
        goal = ""
        if self.bound is not None:
            goal = f"{'>=' if self.at_least else '<='} {self.bound:g}{' ' + self.unit if self.absolute else ''}"
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        if verdict and self.noisy:
            verdict += ", noisy"
        return f"{self.work:<49}{self.unit:<12}{values}{ratio}  {goal:<13}{verdict}".rstrip()

    def _shown(self, name: str) -> str:
        return f"{'~' * (name in self.noisy)}{self.values[name]:.2f}" if name in self.values else "-"

    def to_dict(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "work": self.work,
            "unit": self.unit,
            "medians": self.values,
            "noisy": bool(self.noisy),
            "noisy_at": self.noisy,
            "ratio_to_best_peer": self.ratio,
            "goal": self.bound,
            "goal_is": "absolute" if self.absolute else "ratio",
            "met": self.met,
        }


#: What stands below the table.
NOTE = f"~: the runs differ by more than {_QUIET - 1:.0%}, so that nobody should believe the figure"


def head() -> str:
    """The names of the columns."""
    return f"{'work':<49}{'unit':<12}{''.join(f'{name:>11}' for name in _NAMES)}{'ratio':>8}  {'goal':<13}"


def transfer(work: str, runs: Runs, bound: float) -> list[Row]:
    """CPU of bulk transfers, with what the sender sees."""
    return [
        Row(work, "CPU-s/GiB", samples(runs, "cpu_s_per_gib"), bound),
        Row("  throughput", "MiB/s", samples(runs, "mib_per_s"), at_least=True),
        Row("  latency of an instance, p50", "ms", samples(runs, "p50_ms")),
        Row("  latency of an instance, p99", "ms", samples(runs, "p99_ms")),
    ]


def small(work: str, runs: Runs) -> list[Row]:
    """CPU and latency of small instances."""
    return [
        Row(work, "CPU-us", samples(runs, "cpu_us_per_instance"), 1.10),
        Row("  latency, p50", "ms", samples(runs, "p50_ms"), 1.10),
        Row("  latency, p99", "ms", samples(runs, "p99_ms")),
    ]


def set_up(work: str, runs: Runs, bound: float | None) -> list[Row]:
    """CPU and latency of an association from the connection to its release."""
    return [
        Row(work, "CPU-us", samples(runs, "cpu_us_per_association"), bound),
        Row("  latency, p50", "ms", samples(runs, "p50_ms")),
        Row("  latency, p99", "ms", samples(runs, "p99_ms")),
    ]


def idle(work: str, runs: Runs) -> list[Row]:
    """Memory of an idle association: an absolute goal, and one beside nginx."""
    idle = samples(runs, "idle_kib")
    return [
        Row(work, "KiB", idle, 24, absolute=True),
        Row("  beside nginx", "KiB", idle, 0.65, beside=("nginx",)),
        Row("  the process before", "KiB", samples(runs, "rss_before_kib")),
    ]


def used(work: str, runs: Runs) -> list[Row]:
    """Memory of an association that is idle again."""
    return [Row(work, "KiB", samples(runs, "used_kib"), 180, absolute=True)]


def gain(work: str, runs: Runs) -> list[Row]:
    """The gain of a second worker."""
    return [
        Row(work, "times", samples(runs, "gain"), 1.0, at_least=True),
        Row("  throughput of two workers", "MiB/s", samples(runs, "two_mib_per_s"), at_least=True),
    ]


def fairness(work: str, runs: Runs) -> list[Row]:
    """Latency of a C-ECHO beside bulk, and the spread of the bulk senders."""
    return [
        Row(work, "ms", samples(runs, "echo_p99_ms"), 50, absolute=True),
        Row("  p50", "ms", samples(runs, "echo_p50_ms")),
        Row("  largest to smallest sender", "times", samples(runs, "largest_to_smallest"), 2, absolute=True),
    ]


def balance(work: str, runs: Runs) -> list[Row]:
    """The worst of all rounds."""
    most = samples(runs, "most")
    return [
        Row(work, "of 8", most, 5, absolute=True, summary=max),
        Row("  mean", "of 8", most, summary=statistics.mean),
    ]
