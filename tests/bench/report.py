"""The rows of the table: what was measured, at whom, and the goal it is held to."""

import statistics
from dataclasses import dataclass
from typing import Any

from tests.bench.measure import Runs, medians

OURS = "dicomgate"
_NAMES = (OURS, "nginx", "haproxy", "stunnel")


@dataclass(frozen=True)
class Row:
    """Medians by the name of the proxy. `bound` holds for ours as a ratio to the peers' best, or absolutely."""

    work: str
    unit: str
    values: dict[str, float]
    bound: float | None = None
    absolute: bool = False
    at_least: bool = False  # more is better: no less than the best peer has
    beside: tuple[str, ...] = _NAMES[1:]  # the peers that ours is held to

    @property
    def ratio(self) -> float | None:
        """Ours to the best peer; None without one."""
        peers = [value for name, value in self.values.items() if name in self.beside and name != OURS]
        if not peers:
            return None
        return self.values[OURS] / (max(peers) if self.at_least else min(peers))

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal, or without a peer to be held to."""
        figure = self.values[OURS] if self.absolute else self.ratio
        if self.bound is None or figure is None:
            return None
        return figure >= self.bound if self.at_least else figure <= self.bound

    def line(self) -> str:
        """The row as the table shows it."""
        values = "".join(f"{self.values[name]:>11.2f}" if name in self.values else f"{'-':>11}" for name in _NAMES)
        ratio = f"{self.ratio:>8.2f}" if self.ratio is not None and not self.absolute else f"{'':>8}"
        goal = ""
        if self.bound is not None:
            goal = f"{'>=' if self.at_least else '<='} {self.bound:g}{' ' + self.unit if self.absolute else ''}"
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        return f"{self.work:<49}{self.unit:<12}{values}{ratio}  {goal:<13}{verdict}"

    def to_dict(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "work": self.work,
            "unit": self.unit,
            "medians": self.values,
            "ratio_to_best_peer": self.ratio,
            "goal": self.bound,
            "goal_is": "absolute" if self.absolute else "ratio",
            "met": self.met,
        }


def head() -> str:
    """The names of the columns."""
    return f"{'work':<49}{'unit':<12}{''.join(f'{name:>11}' for name in _NAMES)}{'ratio':>8}  {'goal':<13}"


def largest(runs: Runs, figure: str) -> dict[str, float]:
    """The largest value of a figure, for what must never be worse."""
    return {name: max(run[figure] for run in found) for name, found in runs.items()}


def transfer(work: str, runs: Runs, bound: float) -> list[Row]:
    """CPU of bulk transfers, with what the sender sees."""
    return [
        Row(work, "CPU-s/GiB", medians(runs, "cpu_s_per_gib"), bound),
        Row("  throughput", "MiB/s", medians(runs, "mib_per_s"), at_least=True),
        Row("  latency of an instance, p50", "ms", medians(runs, "p50_ms")),
        Row("  latency of an instance, p99", "ms", medians(runs, "p99_ms")),
    ]


def small(work: str, runs: Runs) -> list[Row]:
    """CPU and latency of small instances."""
    return [
        Row(work, "CPU-us", medians(runs, "cpu_us_per_instance"), 1.10),
        Row("  latency, p50", "ms", medians(runs, "p50_ms"), 1.10),
        Row("  latency, p99", "ms", medians(runs, "p99_ms")),
    ]


def set_up(work: str, runs: Runs, bound: float) -> list[Row]:
    """CPU and latency of an association from the connection to its release."""
    return [
        Row(work, "CPU-us", medians(runs, "cpu_us_per_association"), bound),
        Row("  latency, p50", "ms", medians(runs, "p50_ms")),
        Row("  latency, p99", "ms", medians(runs, "p99_ms")),
    ]


def idle(work: str, runs: Runs) -> list[Row]:
    """Memory of an idle association: an absolute goal, and one beside nginx."""
    values = medians(runs, "idle_kib")
    return [
        Row(work, "KiB", values, 24, absolute=True),
        Row("  beside nginx", "KiB", values, 0.65, beside=("nginx",)),
        Row("  the process before", "KiB", medians(runs, "rss_before_kib")),
    ]


def used(work: str, runs: Runs) -> list[Row]:
    """Memory of an association that is idle again."""
    return [Row(work, "KiB", medians(runs, "used_kib"), 180, absolute=True)]


def gain(work: str, runs: Runs) -> list[Row]:
    """What a second worker brings."""
    return [
        Row(work, "times", medians(runs, "gain"), 1.0, at_least=True),
        Row("  throughput of two workers", "MiB/s", medians(runs, "two_mib_per_s"), at_least=True),
    ]


def fairness(work: str, runs: Runs) -> list[Row]:
    """Latency of a C-ECHO beside bulk, and the spread of the bulk senders."""
    return [
        Row(work, "ms", medians(runs, "echo_p99_ms"), 50, absolute=True),
        Row("  p50", "ms", medians(runs, "echo_p50_ms")),
        Row("  largest to smallest sender", "times", medians(runs, "largest_to_smallest"), 2, absolute=True),
    ]


def balance(work: str, runs: Runs) -> list[Row]:
    """The worst of all rounds."""
    mean = {name: statistics.mean(run["most"] for run in found) for name, found in runs.items()}
    return [
        Row(work, "of 8", largest(runs, "most"), 5, absolute=True),
        Row("  mean", "of 8", mean),
    ]
