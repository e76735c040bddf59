"""A worker process as the supervisor sees it: what it has told, and how it is shown."""

from typing import Any

import pytest

from proxy.process.child import Child
from proxy.process.messages import Order, Report, Start, pickled, read_record


def child() -> Child:
    """One that serves, without a process."""
    start = Start(config=None, sockets={}, table=(0, 0, 0), slot=0, siblings=(0,), log_format="json")  # type: ignore[arg-type]
    child = Child(start, lambda access, line: None, lambda child: None)
    child.ready.set()
    return child


def told(child: Child, kind: Report, id: str, record: dict[str, Any]) -> None:
    child._received(kind, (id, pickled(record)))


def test_a_lost_record_tells_what_the_upstream_had_accepted() -> None:
    one = child()
    told(one, Report.OPENED, "a-1", {"id": "a-1", "peer": "CT1", "contexts": {"proposed": 2, "accepted": 0}})
    told(one, Report.ACCEPTED, "a-1", {"contexts": {"proposed": 2, "accepted": 1}})
    assert read_record(one.open["a-1"]) == {"id": "a-1", "peer": "CT1", "contexts": {"proposed": 2, "accepted": 1}}


def test_what_is_over_is_not_opened_again() -> None:
    one = child()
    told(one, Report.ACCEPTED, "a-1", {"contexts": {"accepted": 1}})
    assert one.open == {}


@pytest.mark.parametrize("order", [Order.DRAIN, Order.RETIRE, Order.STOP])
def test_a_worker_that_refuses_what_is_new_is_shown_so(order: Order) -> None:
    one = child()
    assert one.state == "running"
    one.send(order)
    assert one.state == "draining"
    assert one.expected_to_end == (order is not Order.DRAIN)
