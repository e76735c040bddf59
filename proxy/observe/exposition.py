"""Metrics in the formats of Prometheus: the merged snapshots, and `process_*` and `python_*` of the supervisor."""

import itertools
from collections.abc import Iterable
from typing import cast

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from proxy.observe.families import BY_NAME, PREFIX
from proxy.observe.family import Family, Kind
from proxy.observe.metrics import LabelledValue, Snapshot, merge

_OPENMETRICS = "application/openmetrics-text"


class SnapshotCollector(Collector):
    """A merged snapshot as metric families, without `_created` series, which would double the number of counters."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """Return every family that has a series."""
        return [_metric(BY_NAME[name], series) for name, series in self._snapshot.items() if series]


def render(snapshots: Iterable[Snapshot], accept: str = "") -> tuple[bytes, str]:
    """Return the exposition and its content type: OpenMetrics 1.0 if `accept` names it, else text 0.0.4."""
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(merge(snapshots)))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    # Not the whole header: the library would parse it, and raise on a version that is not a number.
    encode, content_type = choose_encoder(_OPENMETRICS if _OPENMETRICS in accept else "")
    return encode(registry), content_type


def _metric(family: Family, series: list[LabelledValue]) -> Metric:
    name = PREFIX + family.name
    if family.kind is Kind.INFO:
        info = InfoMetricFamily(name.removesuffix("_info"), family.help)
        for labels, _ in series:
            info.add_metric([], dict(zip(family.labels, labels, strict=True)))
        return info
    if family.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(name, family.help, labels=family.labels)
        for labels, value in series:
            *counts, total = cast(list[float], value)
            histogram.add_metric(labels, _cumulative(family.buckets, counts), total)
        return histogram
    make = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = make(name, family.help, labels=family.labels)
    for labels, value in series:
        metric.add_metric(labels, cast(float, value))
    return metric


def _cumulative(bounds: tuple[float, ...], counts: list[float]) -> list[tuple[str, float]]:
    """Return cumulative counts as Prometheus demands: for each bound, the number of all values up to it."""
    names = (*map(str, bounds), "+Inf")
    return list(zip(names, itertools.accumulate(counts), strict=True))
