import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from proxy.config.values import Config
from proxy.observe.exposition import render
from proxy.observe.families import FAMILIES, PREFIX
from proxy.observe.family import Kind
from proxy.observe.metrics import Metrics


@pytest.fixture
def metrics(config: Config) -> Metrics:
    """Metrics with at least one series in every family."""
    metrics = Metrics(config)
    for family in FAMILIES:
        labels = tuple("other" for _ in family.labels)
        if family.kind is Kind.HISTOGRAM:
            metrics.observe(family.name, labels, 0.01)
        elif family.kind is not Kind.INFO:
            metrics.add(family.name, labels, 3)
    return metrics


def test_every_family_is_shown_with_its_type(metrics: Metrics) -> None:
    body, content_type = render([metrics.snapshot()])
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    shown = {family.name: family.type for family in text_string_to_metric_families(body.decode())}
    for family in FAMILIES:
        name = PREFIX + family.name
        if family.kind is Kind.COUNTER:
            assert shown[name.removesuffix("_total")] == "counter"
        else:
            assert shown[name] == ("gauge" if family.kind is Kind.INFO else family.kind)
    assert {"process_resident_memory_bytes", "python_info"} <= shown.keys()


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "application/openmetrics-text; version=x"]
)
def test_openmetrics_if_the_scraper_accepts_it(metrics: Metrics, accept: str) -> None:
    body, content_type = render([metrics.snapshot()], accept)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    shown = {family.name: family.type for family in openmetrics.text_string_to_metric_families(body.decode())}
    assert shown["dicomgate_build"] == "info"
    assert shown["dicomgate_connections"] == "counter"
    assert shown["dicomgate_association_duration_seconds"] == "histogram"


def test_workers_are_added_up(metrics: Metrics) -> None:
    metrics.add("connections_total", ("dicom-tls",), 4)
    body, _ = render([metrics.snapshot(), metrics.snapshot()])
    assert b'dicomgate_connections_total{listener="dicom-tls"} 8.0\n' in body


def test_histograms_are_cumulative(config: Config) -> None:
    metrics = Metrics(config)
    for seconds in (0.0005, 0.02, 50):
        metrics.observe("event_loop_lag_seconds", (), seconds)
    lines = [line for line in render([metrics.snapshot()])[0].decode().splitlines() if "lag_seconds" in line][2:]
    assert lines == [
        'dicomgate_event_loop_lag_seconds_bucket{le="0.001"} 1.0',
        'dicomgate_event_loop_lag_seconds_bucket{le="0.005"} 1.0',
        'dicomgate_event_loop_lag_seconds_bucket{le="0.025"} 2.0',
        'dicomgate_event_loop_lag_seconds_bucket{le="0.1"} 2.0',
        'dicomgate_event_loop_lag_seconds_bucket{le="0.5"} 2.0',
        'dicomgate_event_loop_lag_seconds_bucket{le="2.5"} 2.0',
        'dicomgate_event_loop_lag_seconds_bucket{le="+Inf"} 3.0',
        "dicomgate_event_loop_lag_seconds_count 3.0",
        "dicomgate_event_loop_lag_seconds_sum 50.0205",
    ]


def test_no_created_series(metrics: Metrics) -> None:
    assert b"_created" not in render([metrics.snapshot()])[0]


@pytest.mark.peers
def test_promtool_finds_no_fault(metrics: Metrics) -> None:
    promtool = shutil.which("promtool", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if promtool is None:
        pytest.skip("promtool (Debian package prometheus) is not installed")
    body, _ = render([metrics.snapshot()])
    checked = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, timeout=30)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
