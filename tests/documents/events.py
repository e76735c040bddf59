"""docs/reference/events.md, from `proxy/observe/events.py`."""

from collections.abc import Iterator

from proxy.observe.events import EVENTS, Event
from tests.documents.markdown import code, page, table


def events() -> str:
    """The page."""
    return page(
        "Events of the log",
        "proxy/observe/events.py",
        "A line of the log is one JSON object: `ts`, `level`, `event`, and the event's own fields. A field without a",
        "value is left out. Access records are described in [record.md](record.md).",
        "",
        *table(["Event", "Level", "When"], map(_row, EVENTS)),
        *(line for event in EVENTS if event.fields for line in _fields(event)),
    )


def _row(event: Event) -> tuple[str, str, str]:
    name = f"[`{event.name}`](#{event.name})" if event.fields else f"`{event.name}`"
    return name, code(event.levels), event.when


def _fields(event: Event) -> Iterator[str]:
    yield from ("", f"## {event.name}", "")
    yield from table(["Field", "Meaning"], ((f"`{name}`", meaning) for name, meaning in event.fields.items()))
