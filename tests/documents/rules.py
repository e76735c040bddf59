"""The rules and the tests of each reason, for docs/refusals.md and docs/reference/reasons.md.

A function that names `Reason.X` gives the reason X: such places are read from the code, so none can be forgotten. Two
tables are kept by hand: functions that decide without naming the reason, and places that name it and do not give it.
`tests/unit/test_documents.py` checks that each place of both tables exists.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache

from proxy.policy import Reason
from tests.documents.files import ROOT
from tests.documents.rows import Row, rows

#: Functions that decide on a reason which another one names. They stand first in the documents.
DECIDING: Mapping[Reason, tuple[str, ...]] = {
    Reason.CLIENT_CERTIFICATE_REVOKED: ("proxy/policy/decision.py _check_certificate",),
    Reason.CLIENT_CERTIFICATE_CRL_STALE: ("proxy/policy/decision.py _check_certificate",),
    Reason.CLIENT_CERTIFICATE_WRONG_CA: ("proxy/policy/decision.py _check_certificate",),
    Reason.CLIENT_CERTIFICATE_WEAK: ("proxy/policy/decision.py _check_certificate",),
    Reason.CLIENT_CERTIFICATE_UNTRUSTED: ("proxy/policy/decision.py _check_certificate",),
    Reason.CLIENT_CERTIFICATE_EXPIRED: (
        "proxy/policy/decision.py _check_certificate",
        "proxy/tls/failures.py _explain_certificate",
    ),
    Reason.CLIENT_CERTIFICATE_NOT_YET_VALID: ("proxy/tls/failures.py _explain_certificate",),
    Reason.CLIENT_CERTIFICATE_WRONG_USAGE: ("proxy/tls/failures.py _explain_certificate",),
    Reason.TLS_FAILED: ("proxy/net/relay.py _end_of",),
    Reason.CALLING_AET_UNKNOWN: ("proxy/policy/decision.py _find_peer",),
    Reason.ASSOCIATION_LIMIT: ("proxy/shared/counts.py Counts.acquire",),
    Reason.UPSTREAM_TLS_FAILED: ("proxy/net/relay.py _end_of",),
    Reason.POLICY_CHANGED: ("proxy/net/recheck.py decide_again",),
    Reason.OPERATION_NOT_ALLOWED: ("proxy/dimse/inspection.py Inspection.request",),
    Reason.MOVE_DESTINATION_NOT_ALLOWED: (
        "proxy/policy/contexts.py move_allowed",
        "proxy/dimse/inspection.py Inspection.request",
    ),
}

#: Places that name reasons to count, compare or answer them.
NAMING_ONLY = frozenset(
    {
        "proxy/net/accounting.py Account._upstream_tls_failed",
        "proxy/net/accounting.py Account.refused",
        "proxy/net/accounting.py _PROXY_HEADERS",
        "proxy/net/association_end.py Side",
        "proxy/net/connection.py _AT_ONCE",
        "proxy/net/recheck.py decide_again",
        "proxy/net/stage_runner.py StageRunner._within",
        "proxy/policy/decision.py _PROGRESS",
        "proxy/policy/trace.py _PROTOCOL",
    }
)

#: Tests of a rule that do not name its reason.
_TESTS: Mapping[Reason, tuple[str, ...]] = {
    Reason.ASSOCIATION_LIMIT: ("unit/shared/test_counts.py",),
    Reason.CLIENT_HELLO_MALFORMED: ("unit/tls/test_client_hello.py",),
    Reason.MOVE_DESTINATION_NOT_ALLOWED: ("unit/policy/test_policy_contexts.py",),
    Reason.NOT_TLS: ("unit/tls/test_client_hello.py",),
    Reason.PDU_INVALID: ("unit/pdu/test_associate_rq.py", "unit/dimse/test_walk.py"),
    Reason.PDU_UNEXPECTED: ("unit/pdu/test_framer.py",),
    Reason.PROXY_HEADER_MALFORMED: ("unit/pdu/test_proxy_header.py",),
    Reason.PROXY_HEADER_MISSING: ("unit/pdu/test_proxy_header.py",),
    Reason.REQUEST_AMBIGUOUS: ("unit/pdu/test_associate_rq.py",),
    Reason.REQUEST_TOO_LARGE: ("unit/pdu/test_framer.py",),
}

_LAYERS_WITHOUT_RULES = ("proxy/cli/", "proxy/explain/", "proxy/observe/", "proxy/policy/reasons.py")
#: Tests that name reasons as examples.
_TESTS_OF_OTHER_THINGS = (
    "unit/cli/",
    "unit/config/",
    "unit/explain/",
    "unit/observe/",
    "unit/orthanc/",
    "unit/test_documents.py",
)
#: Tests that a document names for one reason, beside its rows. Those that name the reason most often come first.
_MOST_TESTS = 4


def places(reason: Reason) -> tuple[str, ...]:
    """The places that decide on a reason or give it, each as `file name`. Empty if no code gives it."""
    given = (place for place, named in naming() if named is reason and place not in NAMING_ONLY)
    return tuple(dict.fromkeys((*DECIDING.get(reason, ()), *given)))


def rows_of(reason: Reason) -> list[tuple[Row, str]]:
    """The rows of docs/robustness.md with this reason, each with the test file that names the reason, or its first."""
    files = dict(_tests())
    found = [row for row in rows().values() if reason in row.reasons]
    return [(row, max(row.files, key=lambda file: _mentions(reason, files.get(file, "")) > 0)) for row in found]


def other_tests(reason: Reason) -> list[str]:
    """The unit and integration tests of a reason, as paths from the folder `tests`."""
    counted = {
        path: _mentions(reason, text)
        for path, text in _tests()
        if path.startswith(("unit/", "integration/")) and not path.startswith(_TESTS_OF_OTHER_THINGS)
    }
    named = sorted((path for path, count in counted.items() if count), key=lambda path: (-counted[path], path))
    return list(dict.fromkeys((*_TESTS.get(reason, ()), *named)))[:_MOST_TESTS]


def _mentions(reason: Reason, text: str) -> int:
    return len(re.findall(rf'\bReason\.{reason.name}\b|"{reason}"', text))


@cache
def _tests() -> list[tuple[str, str]]:
    folder = ROOT / "tests"
    return [(path.relative_to(folder).as_posix(), path.read_text()) for path in sorted(folder.rglob("test_*.py"))]


@cache
def naming() -> list[tuple[str, Reason]]:
    """Each place of the code, as `file name`, with a reason that it names."""
    found: list[tuple[str, Reason]] = []
    for path in sorted((ROOT / "proxy").rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        if not file.startswith(_LAYERS_WITHOUT_RULES):
            found.extend((f"{file} {name}", reason) for name, reason in _named(ast.parse(path.read_text()), ""))
    return found


def _named(node: ast.AST, within: str) -> Iterator[tuple[str, Reason]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Attribute) and ast.unparse(child.value) == "Reason":
            if child.attr in Reason.__members__:
                yield within, Reason[child.attr]
        else:
            yield from _named(child, _name(child, within))


def _name(node: ast.AST, within: str) -> str:
    """The dotted name of a function, a class or a constant of a module; `within` for any other node."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return f"{within}.{node.name}" if within else node.name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)) if not within:
            return name
        case _:
            return within


def is_there(place: str) -> bool:
    """Return whether a place exists."""
    file, _, name = place.partition(" ")
    path = ROOT / file
    return path.exists() and name in set(_names(ast.parse(path.read_text()), ""))


def _names(node: ast.AST, within: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        name = _name(child, within)
        if name != within:
            yield name
            yield from _names(child, name)
