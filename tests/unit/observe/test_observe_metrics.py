import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.values import Config
from proxy.observe.families import FAMILIES
from proxy.observe.family import Kind
from proxy.observe.metrics import Metrics, Snapshot, merge
from proxy.policy import Reason
from tests.support import defaults


def value(snapshot: Snapshot, name: str, *labels: str) -> float | list[float]:
    return dict(snapshot[name])[labels]


def test_families_are_named_by_the_rules() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        assert family.name.endswith("_total") == (family.kind is Kind.COUNTER), family.name
        assert bool(family.buckets) == (family.kind is Kind.HISTOGRAM), family.name
        assert list(family.buckets) == sorted(set(family.buckets)), family.name
        assert family.help.endswith("."), family.name


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("connections_total", ("dicom-tls",)),
        ("connections_active", ("dicom-tls", "waiting_associate")),
        ("connections_rejected_total", ("dicom-tls", "probe_disconnect")),
        ("tls_handshake_failures_total", ("dicom-tls", "server", "tls_version")),
        ("sni_lookups_total", ("dicom-tls", "absent")),
        ("associations_total", ("dicom-tls", "hospital", "refused")),
        ("association_refusals_total", ("hospital", "calling_aet_unknown")),
        ("association_refusals_total", ("none", "pdu_invalid")),
        ("associations_ended_total", ("clinic", "released")),
        ("policy_decisions_total", ("clinic", "us1", "accept")),
        ("received_bytes_total", ("hospital", "client")),
        ("pdus_total", ("hospital", "in", "p_data_tf")),
        ("pdu_errors_total", ("hospital", "client", "pdu_invalid")),
        ("upstream_connect_attempts_total", ("pacs", "10.20.0.5:104", "refused")),
        ("upstream_associations_active", ("pacs", "[fd00::5]:104")),
        ("label_overflow_total", ("cipher",)),
        ("log_dropped_total", ()),
        ("draining", ()),
    ],
)
def test_series_exist_before_their_first_event(config: Config, name: str, labels: tuple[str, ...]) -> None:
    assert value(Metrics(config).snapshot(), name, *labels) == 0


def test_every_reason_is_counted_somewhere_from_the_start(config: Config) -> None:
    snapshot = Metrics(config).snapshot()
    families = ("connections_rejected_total", "tls_handshake_failures_total", "association_refusals_total")
    assert {labels[-1] for name in families for labels, _ in snapshot[name]} == set(Reason)


def test_limits_and_versions_are_known_from_the_start(config: Config) -> None:
    snapshot = Metrics(config).snapshot()
    assert value(snapshot, "associations_limit", "hospital") == 1000
    assert value(snapshot, "associations_limit", "clinic") == 7
    assert [number for _, number in snapshot["build_info"]] == [1]


def test_a_value_that_one_process_knows_is_absent_until_it_is_set(config: Config) -> None:
    metrics = Metrics(config)
    assert metrics.snapshot()["config_last_reload_successful"] == []
    metrics.set("config_last_reload_successful", (), 0)
    assert value(metrics.snapshot(), "config_last_reload_successful") == 0


def test_counting(config: Config) -> None:
    metrics = Metrics(config)
    metrics.add("connections_total", ("dicom-tls",))
    metrics.add("received_bytes_total", ("hospital", "client"), 2**70)
    metrics.add("received_bytes_total", ("hospital", "client"), 1)
    metrics.add("associations_active", ("hospital",), 2)
    metrics.add("associations_active", ("hospital",), -1)
    snapshot = metrics.snapshot()
    assert value(snapshot, "connections_total", "dicom-tls") == 1
    assert value(snapshot, "received_bytes_total", "hospital", "client") == 2**70 + 1  # row 80: no wrap
    assert value(snapshot, "associations_active", "hospital") == 1


def test_a_combination_not_created_at_start_is_created_on_its_first_event(config: Config) -> None:
    metrics = Metrics(config)
    labels = ("dicom-tls", "server", "TLSv1.3", "TLS_AES_256_GCM_SHA384", "no", "given")
    metrics.add("tls_handshakes_total", labels)
    metrics.add("tls_handshakes_total", labels)
    metrics.add("connections_rejected_total", ("dicom-tls", "draining"))
    assert metrics.snapshot()["tls_handshakes_total"] == [(labels, 2)]
    assert value(metrics.snapshot(), "connections_rejected_total", "dicom-tls", "draining") == 1
    assert all(number == 0 for _, number in metrics.snapshot()["label_overflow_total"])


def test_a_value_outside_the_closed_set_becomes_other_and_is_counted(config: Config) -> None:
    metrics = Metrics(config)
    for stranger in ("EVIL", "EVIL\n", ""):
        metrics.add("associations_active", (stranger,))
    metrics.set("upstream_associations_active", ("pacs", "10.9.9.9:104"), 3)
    metrics.observe("association_duration_seconds", ("EVIL",), 1.0)
    snapshot = metrics.snapshot()
    assert value(snapshot, "associations_active", "other") == 3
    assert value(snapshot, "upstream_associations_active", "pacs", "other") == 3
    assert value(snapshot, "label_overflow_total", "tenant") == 4
    assert value(snapshot, "label_overflow_total", "server") == 1


@given(st.text())
def test_no_stranger_creates_a_series(text: str) -> None:
    config = defaults.config()
    metrics = Metrics(config)
    metrics.add("associations_total", (text, text, text))
    labels = {label for values, _ in metrics.snapshot()["associations_total"] for label in values}
    assert labels <= {"none", "other", "accepted", "refused", "failed"}


def test_a_wrong_number_of_labels_raises(config: Config) -> None:
    with pytest.raises(ValueError, match="zip"):
        Metrics(config).add("connections_total", ())


def test_a_histogram_counts_up_to_and_including_its_bound(config: Config) -> None:
    metrics = Metrics(config)
    for seconds in (0.0005, 0.001, 0.0011, 99.0):
        metrics.observe("event_loop_lag_seconds", (), seconds)
    child = value(metrics.snapshot(), "event_loop_lag_seconds")
    assert isinstance(child, list)
    assert child[:-1] == [2, 1, 0, 0, 0, 0, 1]
    assert child[-1] == pytest.approx(99.0026)


def test_a_snapshot_does_not_change_afterwards(config: Config) -> None:
    metrics = Metrics(config)
    before = metrics.snapshot()
    metrics.add("connections_total", ("dicom-tls",))
    metrics.observe("event_loop_lag_seconds", (), 1.0)
    assert value(before, "connections_total", "dicom-tls") == 0
    assert value(before, "event_loop_lag_seconds") == [0] * 8


def test_workers_are_merged_by_the_rule_of_each_family(config: Config) -> None:
    workers = [Metrics(config), Metrics(config), Metrics(config)]
    for number, worker in enumerate(workers, start=1):
        worker.add("connections_total", ("dicom-tls",), number)
        worker.add("associations_active", ("hospital",), number)
        worker.set("draining", (), number % 2)
        worker.observe("event_loop_lag_seconds", (), 0.001)
    snapshots = [worker.snapshot() for worker in workers]
    merged = merge(snapshots)
    assert value(merged, "connections_total", "dicom-tls") == 6
    assert value(merged, "associations_active", "hospital") == 6
    assert value(merged, "associations_limit", "clinic") == 7
    assert value(merged, "draining") == 1
    assert value(merged, "event_loop_lag_seconds") == [3, 0, 0, 0, 0, 0, 0, 0.003]
    assert value(snapshots[0], "event_loop_lag_seconds") == [1, 0, 0, 0, 0, 0, 0, 0.001]


def test_snapshots_travel_as_json_and_pickle(config: Config) -> None:
    metrics = Metrics(config)
    metrics.add("connections_total", ("dicom-tls",), 5)
    metrics.observe("event_loop_lag_seconds", (), 0.5)
    snapshot = metrics.snapshot()
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot
    assert merge([json.loads(json.dumps(snapshot)), snapshot]) == merge([snapshot, snapshot])
    assert merge([snapshot]) == snapshot
