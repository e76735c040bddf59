"""Messages about associations, so that each leaves exactly one record, also if the worker dies."""

from typing import Any, cast

from proxy.observe.access import AccessRecord
from proxy.process.channel import Channel
from proxy.process.channel_journal import ChannelJournal
from proxy.process.messages import Report, read_record


class Wire:
    """A channel that keeps the messages sent. If `full`, it drops those that may be lost."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self.full = False

    def send(self, kind: str, value: Any = None) -> None:
        self.sent.append((kind, value))

    def offer(self, kind: str, value: Any) -> bool:
        if not self.full:
            self.send(kind, value)
        return not self.full

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.sent]


def journal(wire: Wire) -> ChannelJournal:
    return ChannelJournal(cast(Channel, wire), "info", "json")


def record(id: str) -> AccessRecord:
    return AccessRecord(id, 1e9, "dicom", calling_aet="CT1")


def test_the_record_of_an_association_closes_it() -> None:
    wire = Wire()
    sent = journal(wire)
    sent.opened(record("1"))
    sent.access(record("1").to_dict(1e9))
    sent.closed("1")
    assert wire.kinds == [Report.OPENED, Report.LINE]
    id, so_far = wire.sent[0][1]
    assert id == "1"
    assert {"calling_aet": "CT1", "decision": "accepted"}.items() <= read_record(so_far).items()


def test_an_association_without_a_line_is_closed_by_its_own_message() -> None:
    wire = Wire()
    sent = journal(wire)
    for id in ("summed up", "dropped"):
        sent.opened(record(id))
    sent.closed("summed up")
    wire.full = True
    sent.access(record("dropped").to_dict(1e9))
    sent.closed("dropped")
    assert wire.sent[2:] == [(Report.CLOSED, "summed up"), (Report.CLOSED, "dropped")]


def test_an_association_that_was_never_opened_is_not_closed() -> None:
    wire = Wire()
    sent = journal(wire)
    sent.access(record("1").to_dict(1e9))
    sent.closed("1")
    assert wire.kinds == [Report.LINE]
