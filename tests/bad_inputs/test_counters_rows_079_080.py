"""Rows 79 and 80: counters do not wrap, tried on the counters themselves."""

import json
from pathlib import Path

from proxy.dimse.walk import MessageWalk
from proxy.observe.access import AccessRecord
from proxy.observe.exposition import render
from proxy.observe.lines import json_line
from proxy.observe.metrics import Metrics
from proxy.pdu.encode import encode_p_data
from tests.support import configs
from tests.support.messages import begun, inspection

FOUR_GIB = 1 << 32


def exposed(metrics: Metrics, name: str) -> float:
    """The value of the only series of a metric that is not zero, as Prometheus reads it."""
    body, _ = render([metrics.snapshot()])
    lines = (line for line in body.decode().splitlines() if line.startswith(f"dicomgate_{name}{{"))
    (value,) = filter(None, (float(line.rpartition(" ")[2]) for line in lines))
    return value


def metrics(folder: Path) -> Metrics:
    loaded = configs.load_text(folder, configs.PLAIN)
    assert loaded.config is not None
    return Metrics(loaded.config)


def test_row_079_bytes_of_one_association(tmp_path: Path) -> None:
    record = AccessRecord("1", 0.0, "plain", bytes_in=3 * FOUR_GIB + 1, bytes_out=FOUR_GIB, pdus_in=FOUR_GIB + 7)
    written = json.loads(json_line(record.to_dict(0.0)))
    assert (written["bytes_in"], written["bytes_out"], written["pdus_in"]) == (
        3 * FOUR_GIB + 1,
        FOUR_GIB,
        FOUR_GIB + 7,
    )
    counters = metrics(tmp_path)
    for _ in range(3):
        counters.add("received_bytes_total", ("hospital", "client"), FOUR_GIB + 1)
    assert exposed(counters, "received_bytes_total") == 3 * FOUR_GIB + 3


def inside_a_message() -> MessageWalk:
    walk = MessageWalk(frozenset({1}), inspection(), from_requestor=True)
    assert walk.feed(memoryview(begun()))[2] is None
    return walk


def test_row_079_walk_behind_four_gib() -> None:
    walk = inside_a_message()
    pdu = memoryview(encode_p_data(1, 0, b"x"))
    walk.pdus[4] = FOUR_GIB - 1
    for _ in range(3):
        assert walk.feed(pdu) == (pdu, len(pdu), None)
    assert walk.pdus[4] == FOUR_GIB + 2 and walk.boundary


def test_row_079_one_p_data_of_the_greatest_length() -> None:
    """4 GiB in one PDU, as far as the length field goes: counted down, not allocated."""
    walk = inside_a_message()
    header = b"\x04\0\xff\xff\xff\xff\xff\xff\xff\xfb\1\0"
    assert walk.feed(memoryview(header)) == (header, 12, None)
    assert walk.pdu_left == 0xFFFFFFFF - 6


def test_row_080_associations_and_pdus(tmp_path: Path) -> None:
    counters = metrics(tmp_path)
    counters.add("associations_total", ("plain", "hospital", "accepted"), FOUR_GIB - 1)
    counters.add("pdus_total", ("hospital", "in", "p_data_tf"), FOUR_GIB - 1)
    for _ in range(3):
        counters.add("associations_total", ("plain", "hospital", "accepted"))
        counters.add("pdus_total", ("hospital", "in", "p_data_tf"))
    assert exposed(counters, "associations_total") == FOUR_GIB + 2
    assert exposed(counters, "pdus_total") == FOUR_GIB + 2
