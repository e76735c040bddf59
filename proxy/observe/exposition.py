"""Metrics as Prometheus reads them: snapshots of the workers, merged, and this process's `process_*` and `python_*`."""

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
    """One merged snapshot as metric families. No `_created` series: they would double the number of counters."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """Every family that has a child."""
        return [_metric(BY_NAME[name], children) for name, children in self._snapshot.items() if children]


def render(snapshots: Iterable[Snapshot], accept: str = "") -> tuple[bytes, str]:
    """The exposition and its content type: OpenMetrics 1.0 where the Accept header asks for it, else text 0.0.4."""
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(merge(snapshots)))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    # The library would take apart the whole header, and stumbles over a version that is no number.
    encode, content_type = choose_encoder(_OPENMETRICS if _OPENMETRICS in accept else "")
    return encode(registry), content_type


def _metric(family: Family, children: list[LabelledValue]) -> Metric:
    name = PREFIX + family.name
    if family.kind is Kind.INFO:
        info = InfoMetricFamily(name.removesuffix("_info"), family.help)
        for labels, _ in children:
            info.add_metric([], dict(zip(family.labels, labels, strict=True)))
        return info
    if family.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(name, family.help, labels=family.labels)
        for labels, child in children:
            *counts, total = cast(list[float], child)
            histogram.add_metric(labels, _cumulative(family.buckets, counts), total)
        return histogram
    make = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = make(name, family.help, labels=family.labels)
    for labels, child in children:
        metric.add_metric(labels, cast(float, child))
    return metric


def _cumulative(bounds: tuple[float, ...], counts: list[float]) -> list[tuple[str, float]]:
    """Counts per bucket as Prometheus has them: all values up to each bound."""
    names = (*map(str, bounds), "+Inf")
    return list(zip(names, itertools.accumulate(counts), strict=True))
