"""The rules and the tests of each reason, for docs/refusals.md and docs/reference/reasons.md.

A function that names `Reason.X` gives the reason X, and so does a function that raises an exception which `net` turns
into X. Both are read from the code. Three tables are kept by hand: functions that decide without naming the reason,
functions that pass on the reason of another one, and places that name a reason and do not give it.
`tests/unit/test_documents_rules.py` checks that each place of these tables exists.
"""

import ast
import builtins
from collections.abc import Iterator, Mapping
from functools import cache

from proxy.policy import Reason
from tests.documents.files import ROOT
from tests.documents.mentions import files_of_tests
from tests.documents.rows import Row, rows

#: Functions that decide on a reason, but leave its name to another function. They stand first in the documents.
DECIDING: Mapping[Reason, tuple[str, ...]] = {
    Reason.CLIENT_CERTIFICATE_EXPIRED: (
        "proxy/tls/judging.py CertificateJudge._judge_time",
        "proxy/tls/failures.py _explain_certificate",
    ),
    Reason.CLIENT_CERTIFICATE_NOT_YET_VALID: ("proxy/tls/failures.py _explain_certificate",),
    Reason.CLIENT_CERTIFICATE_WRONG_USAGE: ("proxy/tls/failures.py _explain_certificate",),
    Reason.CLIENT_CERTIFICATE_WEAK: (
        "proxy/x509/strength.py chain_weakness",
        "proxy/tls/judging.py CertificateJudge._judge_chain",
        "proxy/tls/failures.py _explain_certificate",
    ),
    Reason.CLIENT_CERTIFICATE_REVOKED: ("proxy/tls/judging.py CertificateJudge._revoked",),
    Reason.CLIENT_CERTIFICATE_WRONG_CA: (
        "proxy/tls/judging.py CertificateJudge._anchored",
        "proxy/tls/judging.py CertificateJudge._judge_chain",
        "proxy/policy/certificates.py check_client_auth",
    ),
    Reason.TLS_FAILED: ("proxy/net/relay.py _end_of",),
    Reason.REQUEST_TOO_LARGE: ("proxy/pdu/framer.py PduFramer._check_length",),
    Reason.PDU_UNEXPECTED: (
        "proxy/pdu/framer.py PduFramer._check_type",
        "proxy/dimse/order.py PduOrder.begins_p_data",
    ),
    Reason.CALLING_AET_UNKNOWN: ("proxy/policy/decision.py _find_peer",),
    Reason.CERTIFICATE_NOT_BOUND: (
        "proxy/policy/certificates.py check_conditions",
        "proxy/policy/certificates.py _check_names",
    ),
    Reason.NO_PERMITTED_CONTEXT: ("proxy/policy/contexts.py select_contexts",),
    Reason.ASSOCIATION_LIMIT: ("proxy/shared/counts.py Counts.acquire",),
    Reason.UPSTREAM_TLS_FAILED: ("proxy/net/relay.py _end_of",),
    Reason.POLICY_CHANGED: ("proxy/net/recheck.py decide_again",),
    Reason.OPERATION_NOT_ALLOWED: (
        "proxy/dimse/inspection.py Inspection.request",
        "proxy/dimse/rules.py context_rules",
        "proxy/net/operations.py _rules",
        "proxy/net/operations.py _rules_of",
    ),
    Reason.MOVE_DESTINATION_NOT_ALLOWED: (
        "proxy/policy/contexts.py move_allowed",
        "proxy/dimse/inspection.py Inspection.request",
    ),
}

#: Functions that refuse for a reason that another one has found. They stand last in the documents.
PASSING_ON: Mapping[str, frozenset[Reason]] = {
    "proxy/policy/decision.py _check_certificate": frozenset(
        {
            Reason.CLIENT_CERTIFICATE_UNTRUSTED,
            Reason.CLIENT_CERTIFICATE_EXPIRED,
            Reason.CLIENT_CERTIFICATE_WEAK,
            Reason.CLIENT_CERTIFICATE_REVOKED,
            Reason.CLIENT_CERTIFICATE_CRL_STALE,
            Reason.CLIENT_CERTIFICATE_WRONG_CA,
        }
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
    "unit/test_documents",
)
#: Unit and integration tests that name the word of a reason and do not test the reason, each with what they do.
NOT_TESTS: Mapping[Reason, Mapping[str, str]] = {
    Reason.TENANT_MISMATCH: {"unit/policy/test_policy_decision.py": "tests that the advice is one sentence"},
    Reason.UPSTREAM_TIMEOUT: {"unit/policy/test_policy_decision.py": "tests that the advice is one sentence"},
    Reason.DRAINING: {
        "integration/test_control_verbs.py": "the word is the state of a worker",
        "integration/test_service_manager.py": "the word is the status that systemd shows",
        "unit/process/test_worker_process.py": "the word is the state of a worker",
    },
    Reason.INTERNAL: {"integration/test_hostile_endings.py": "asserts that there is no event of this name"},
}

#: Tests that a document names for one reason, beside its rows. Those that name the reason most often come first.
_MOST_TESTS = 4


def places(reason: Reason) -> tuple[str, ...]:
    """The places that decide on a reason or give it, each as `file name`. Empty if no code gives it."""
    given = (place for place, named in naming() if named is reason and place not in NAMING_ONLY)
    passing = (place for place, passed in PASSING_ON.items() if reason in passed)
    return tuple(dict.fromkeys((*DECIDING.get(reason, ()), *raisers(reason), *given, *passing)))


def rows_of(reason: Reason) -> list[tuple[Row, str, str | None]]:
    """The rows of docs/robustness.md with this reason, each with its test files that name the reason, or its first.

    The third item is a test function of the file, None if no function of it is for this row.
    """
    known = files_of_tests()
    found: list[tuple[Row, str, str | None]] = []
    for row in rows().values():
        if reason in row.reasons:
            named = [(row, file, known[file].test_of(reason, row.number)) for file in row.files]
            # A test may name the reason in other words only: then the first file of the row stands for it.
            first = next(((row, file, known[file].test_of_row(row.number)) for file in row.files), None)
            found.extend([one for one in named if one[2] is not None] or filter(None, [first]))
    return found


def other_tests(reason: Reason) -> list[str]:
    """The unit and integration tests of a reason, as paths from the folder `tests`."""
    counted = {
        path: tests.counts.get(reason, 0)
        for path, tests in files_of_tests().items()
        if path.startswith(("unit/", "integration/"))
        and not path.startswith(_TESTS_OF_OTHER_THINGS)
        and path not in NOT_TESTS.get(reason, {})
    }
    named = sorted((path for path, count in counted.items() if count), key=lambda path: (-counted[path], path))
    return list(dict.fromkeys((*_TESTS.get(reason, ()), *named)))[:_MOST_TESTS]


@cache
def naming() -> list[tuple[str, Reason]]:
    """Each place of the code, as `file name`, with a reason that it names."""
    return [(f"{file} {name}", reason) for file, module in _modules() for name, reason in _named(module, "")]


def raisers(reason: Reason) -> list[str]:
    """The functions that raise an exception for which another function raises `Refused` with this reason."""
    translated = {name for name, given in _all_translated() if given is reason}
    return [place for place, name in _all_raised() if name in translated]


@cache
def _all_translated() -> list[tuple[str, Reason]]:
    return [pair for _, module in _modules() for pair in _translated(module)]


@cache
def _all_raised() -> list[tuple[str, str]]:
    return [(f"{file} {place}", name) for file, module in _modules() for place, name in _raised(module, "")]


@cache
def _modules() -> list[tuple[str, ast.Module]]:
    files = {path.relative_to(ROOT).as_posix(): path for path in sorted((ROOT / "proxy").rglob("*.py"))}
    return [(file, ast.parse(files[file].read_text())) for file in files if not file.startswith(_LAYERS_WITHOUT_RULES)]


def _translated(module: ast.Module) -> Iterator[tuple[str, Reason]]:
    """Each exception of the gateway that is caught and becomes `Refused`, with the reason."""
    for handler in (node for node in ast.walk(module) if isinstance(node, ast.ExceptHandler)):
        match handler:
            case ast.ExceptHandler(type=ast.Name(id=name), body=[ast.Raise(exc=ast.Call(func=ast.Name(id="Refused")))]):
                if not hasattr(builtins, name):
                    yield from ((name, reason) for _, reason in _named(handler, ""))


def _raised(node: ast.AST, within: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Raise(exc=ast.Call(func=ast.Name(id=name))):
                yield within, name
            case _:
                yield from _raised(child, _name(child, within))


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
