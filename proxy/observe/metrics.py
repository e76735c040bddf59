"""Counting inside one process: plain numbers in plain dictionaries, merged over processes when they are exported.

Workers do not use `prometheus_client`: its multiprocess mode forbids custom collectors and leaves a file for
every process.
"""

import functools
import platform
import ssl
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from importlib import metadata

from proxy import __version__
from proxy.config.values import Config
from proxy.observe.families import BY_NAME, FAMILIES, OTHER
from proxy.observe.family import Kind
from proxy.observe.labels import Labels

#: One series: label values, then the value. For a histogram it is a list: the count of each bucket (the last one is
#: above the highest bound), then the sum of all values.
LabelledValue = tuple[tuple[str, ...], float | list[float]]
#: The series of each family, by name. It can be sent as pickle or JSON.
Snapshot = Mapping[str, list[LabelledValue]]


class Metrics:
    """The metrics of one process under one configuration.

    Label values are passed in the order of the family's `labels`. A value outside its closed set becomes `other` and is
    counted in `label_overflow_total`. Before a tenant is known, the tenant is `none`.
    """

    __slots__ = ("_histograms", "_labels", "_values")

    def __init__(self, config: Config) -> None:
        self._labels = Labels(config)
        self._values: dict[str, dict[tuple[str, ...], float]] = {}
        self._histograms: dict[str, dict[tuple[str, ...], list[float]]] = {}
        for family in FAMILIES:
            if family.kind is Kind.HISTOGRAM:
                empty = len(family.buckets) + 2
                self._histograms[family.name] = {labels: [0] * empty for labels in self._labels.at_start(family)}
            else:
                self._values[family.name] = dict.fromkeys(self._labels.at_start(family), 0)
        for tenant in config.tenants.values():
            limit = config.limits.connections if tenant.max_associations is None else tenant.max_associations
            self.set("associations_limit", (tenant.name,), limit)
        versions = (__version__, platform.python_version(), ssl.OPENSSL_VERSION, _uvloop_version())
        self.set("build_info", versions, 1)

    def add(self, name: str, labels: tuple[str, ...] = (), amount: float = 1) -> None:
        """Add to a counter, or to a gauge, where the amount may be negative."""
        series = self._values[name]
        # Nearly always the series exists. Its labels were checked when it was created, so they are not checked here.
        try:
            series[labels] += amount
        except KeyError:
            known = self._admit(name, labels)
            series[known] = series.get(known, 0) + amount

    def set(self, name: str, labels: tuple[str, ...], value: float) -> None:
        """Set a gauge, or a counter whose total is kept elsewhere."""
        series = self._values[name]
        # As in `add`: only a new series has its labels checked.
        series[labels if labels in series else self._admit(name, labels)] = value

    def observe(self, name: str, labels: tuple[str, ...], value: float) -> None:
        """Count a value in a histogram."""
        histograms, buckets = self._histograms[name], BY_NAME[name].buckets
        histogram = histograms.get(labels)
        if histogram is None:
            histogram = histograms.setdefault(self._admit(name, labels), [0] * (len(buckets) + 2))
        histogram[bisect_left(buckets, value)] += 1  # left: a bucket includes its upper bound, as in Prometheus
        histogram[-1] += value

    def snapshot(self) -> Snapshot:
        """Return a copy of all values, which later counts do not change."""
        copy: dict[str, list[LabelledValue]] = {name: list(series.items()) for name, series in self._values.items()}
        for name, histograms in self._histograms.items():
            copy[name] = [(labels, list(histogram)) for labels, histogram in histograms.items()]
        return copy

    def _admit(self, name: str, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Replace each label value outside its closed set by `other`. Raises ValueError if their number is wrong."""
        admitted = []
        for label, value in zip(BY_NAME[name].labels, labels, strict=True):
            if self._labels.is_known(name, label, value):
                admitted.append(value)
            else:
                admitted.append(OTHER)
                if value != OTHER:
                    self.add("label_overflow_total", (label,))
        return tuple(admitted)


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Merge the snapshots of several processes: sums, or the highest value of a gauge whose family is `highest`."""
    totals: dict[str, dict[tuple[str, ...], float | list[float]]] = {family.name: {} for family in FAMILIES}
    for snapshot in snapshots:
        for name, children in snapshot.items():
            total, highest = totals[name], BY_NAME[name].highest
            for label_values, value in children:
                labels = tuple(label_values)  # JSON turns tuples into lists
                before = total.get(labels)
                if isinstance(value, list):
                    total[labels] = (
                        [a + b for a, b in zip(before, value, strict=True)] if isinstance(before, list) else list(value)
                    )
                elif isinstance(before, (int, float)):
                    total[labels] = max(before, value) if highest else before + value
                else:
                    total[labels] = value
    return {name: list(children.items()) for name, children in totals.items()}


@functools.cache
def _uvloop_version() -> str:
    """Return the version of uvloop, or "none" if it is not installed."""
    try:
        return metadata.version("uvloop")
    except metadata.PackageNotFoundError:
        return "none"
