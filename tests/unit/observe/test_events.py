"""The table of events is complete and correct: every call that logs an event is compared with it."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.observe.events import EVENTS, Event
from proxy.observe.log import LEVELS

PROXY = Path(__file__).parents[3] / "proxy"
BY_NAME = {event.name: event for event in EVENTS}
#: Functions of this name pass on the event of their caller.
FORWARDER = "event"
#: The certificate watch returns these, and the supervisor logs them.
RETURNED = "Ending"
#: Lines of a log about itself: a name and fields, always at level warning.
NOTE = "_note"


@dataclass
class Logged:
    """The events that one call may log. `fields` is None if the call does not spell them out."""

    place: str
    levels: set[str]
    names: set[str]
    fields: set[str] | None


def literals(node: ast.expr) -> set[str]:
    """Return the string literals that an expression may evaluate to."""
    if isinstance(node, ast.IfExp):
        return literals(node.body) | literals(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def keywords(node: ast.Call) -> set[str] | None:
    names = {keyword.arg for keyword in node.keywords}
    return None if None in names else {name for name in names if name is not None}


def logged(path: Path) -> Iterator[Logged]:
    """Return every call in a file that logs an event."""
    tree = ast.parse(path.read_text(), str(path))
    forwarded = {
        inner
        for outer in ast.walk(tree)
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef)) and outer.name == FORWARDER
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or node in forwarded or len(node.args) < 2:
            continue
        place = f"{path.relative_to(PROXY.parent)}:{node.lineno}"
        if called(node) == NOTE:
            yield Logged(place, {"warning"}, literals(node.args[0]), None)
        elif called(node) == RETURNED:
            yield Logged(place, literals(node.args[0]), literals(node.args[1]), None)
        elif called(node) == "event" and not is_returned(node):
            yield Logged(place, literals(node.args[0]), literals(node.args[1]), keywords(node))


def is_returned(node: ast.Call) -> bool:
    """Return whether this call logs a `RETURNED`, whose own literals are compared."""
    return [ast.unparse(argument) for argument in node.args] == ["ending.level", "ending.event"]


CALLS = [call for path in sorted(PROXY.rglob("*.py")) for call in logged(path)]


def test_the_calls_are_found() -> None:
    assert len(CALLS) > 20


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.place)
def test_a_logged_event_agrees_with_the_table(call: Logged) -> None:
    assert call.names, "write the name of the event out, so that it can be found"
    assert call.levels, "write the level out"
    for name in call.names:
        assert call.levels <= set(BY_NAME[name].levels)
        assert (call.fields or set()) <= BY_NAME[name].fields.keys()


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_every_event_of_the_table_is_logged(event: Event) -> None:
    calls = [call for call in CALLS if event.name in call.names]
    assert calls
    assert set(event.levels) <= {level for call in calls for level in call.levels}
    if all(call.fields is not None for call in calls):
        assert event.fields.keys() == {name for call in calls for name in call.fields or ()}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_an_event_is_described_in_sentences(event: Event) -> None:
    assert set(event.levels) <= LEVELS.keys()
    assert all(text[0] not in " .," and text.endswith(".") for text in (event.when, *event.fields.values()))


def test_no_event_is_in_the_table_twice() -> None:
    seen: dict[str, int] = defaultdict(int)
    for event in EVENTS:
        seen[event.name] += 1
    assert max(seen.values()) == 1
