"""A worker process from the side of the supervisor: its open records and its state."""

import pytest

from proxy.observe.access import AccessRecord
from proxy.process.messages import OPENED_AT, Order, Report, Start, changes, open_record, read_record
from proxy.process.worker_process import WorkerProcess


def serving_worker() -> WorkerProcess:
    """Return a worker that serves, without a process."""
    start = Start(config=None, sockets={}, table=(0, 0, 0), slot=0, siblings=(0,), log_format="json")  # type: ignore[arg-type]
    worker = WorkerProcess(start, lambda access, line: None, lambda worker: None)
    worker.ready.set()
    return worker


def test_a_lost_record_contains_the_contexts_that_the_upstream_accepted() -> None:
    one = serving_worker()
    record = AccessRecord("a-1", 1e9, "dicom", peer="CT1", contexts_proposed=2, contexts_kept=2)
    one._received(Report.OPENED, ("a-1", open_record(record, 5.0)))
    one._received(Report.ACCEPTED, ("a-1", changes({"contexts": {"proposed": 2, "accepted": 1}})))
    found = read_record(one.open["a-1"])
    assert (found["id"], found["peer"], found["contexts"]) == ("a-1", "CT1", {"proposed": 2, "accepted": 1})
    assert (found["decision"], found[OPENED_AT]) == ("accepted", 5.0)


def test_a_change_does_not_open_a_closed_record() -> None:
    one = serving_worker()
    one._received(Report.ACCEPTED, ("a-1", changes({"contexts": {"accepted": 1}})))
    assert one.open == {}


@pytest.mark.parametrize("order", [Order.DRAIN, Order.RETIRE, Order.STOP])
def test_a_worker_that_refuses_new_associations_is_draining(order: Order) -> None:
    one = serving_worker()
    assert one.state == "running"
    one.send(order)
    assert one.state == "draining"
    assert one.expected_to_end == (order is not Order.DRAIN)
