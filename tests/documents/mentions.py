"""The tests that name a reason, read from their syntax trees: as `Reason.X`, or as a string such as `1/1/1 x`."""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from proxy.policy import Reason
from tests.documents.citations import cited_rows
from tests.documents.files import ROOT

#: The words of a string that names a reason, such as `request_ambiguous` or `1/1/1 request_ambiguous`.
_MOST_WORDS = 2


@dataclass(frozen=True)
class FileOfTests:
    """A test file: how often it names each reason, and the reasons that each test function names, in their order."""

    counts: Mapping[Reason, int]
    functions: Mapping[str, frozenset[Reason]]
    cited: Mapping[str, frozenset[int]]  # the rows of docs/robustness.md that each test function cites

    def test_of(self, reason: Reason, row: int) -> str | None:
        """The first test of the row that names the reason; in a file without tests of the row, the first that does.

        Such a file cites the row at its head: all of its tests are for it.
        """
        tests = self._tests_of_row(row) or [name for name in self.functions if not _number(name)]
        return next((name for name in tests if reason in self.functions[name]), None)

    def test_of_row(self, row: int) -> str | None:
        """The first test of the row."""
        return next(iter(self._tests_of_row(row)), None)

    def _tests_of_row(self, row: int) -> list[str]:
        return [name for name in self.functions if _number(name) == f"{row:03}" or row in self.cited[name]]


@cache
def files_of_tests() -> Mapping[str, FileOfTests]:
    """Every test file by its path from the folder `tests`."""
    folder = ROOT / "tests"
    return {
        path.relative_to(folder).as_posix(): read_tests(path.read_text()) for path in sorted(folder.rglob("test_*.py"))
    }


def read_tests(text: str) -> FileOfTests:
    """Read the text of a test file."""
    module = ast.parse(text)
    counts = Counter(_named(module))
    defined = dict(_definitions(module))
    tests = {name: node for name, node in defined.items() if name.startswith("test_")}
    functions = {name: frozenset(_reached(node, defined, {name})) for name, node in tests.items()}
    cited = {name: frozenset(cited_rows(ast.get_source_segment(text, node) or "")) for name, node in tests.items()}
    return FileOfTests(counts, functions, cited)


def _number(name: str) -> str:
    """The number of the row that a test is named for, with its zeros; "" if it is named for none."""
    return name.removeprefix("test_row_")[:3] if name.startswith("test_row_") else ""


def _definitions(module: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Assign):
            yield from ((target.id, node) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node


def _reached(node: ast.AST, defined: Mapping[str, ast.stmt], seen: set[str]) -> Iterator[Reason]:
    """The reasons that a test names, itself or in a helper or constant of its file."""
    yield from _named(node)
    for child in ast.walk(node):
        if isinstance(child, ast.Name) and child.id in defined and child.id not in seen:
            seen.add(child.id)
            yield from _reached(defined[child.id], defined, seen)


def _named(node: ast.AST) -> Iterator[Reason]:
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Reason":
        if node.attr in Reason.__members__:
            yield Reason[node.attr]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        words = node.value.split(" ")
        if words[-1] in set(Reason) and len(words) <= _MOST_WORDS:
            yield Reason(words[-1])
    else:
        for child in _children(node):
            yield from _named(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """The children of a node without names of arguments, which are no reasons: argnames and keys of a dictionary."""
    match node:
        case ast.Call(func=ast.Attribute(attr="parametrize")):
            yield from node.args[1:]
            yield from (keyword for keyword in node.keywords if keyword.arg != "argnames")
        case ast.Dict():
            yield from node.values
        case _:
            yield from ast.iter_child_nodes(node)
