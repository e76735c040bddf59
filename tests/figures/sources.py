"""The Python files of `proxy` in a checkout, parsed once."""

import ast
import io
import statistics
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Source:
    """One file. `name` is its path below `proxy`, with slashes."""

    name: str
    text: str

    @property
    def folder(self) -> str:
        """The layer: the first part of the path, or "" for a file in `proxy` itself."""
        return self.name.partition("/")[0] if "/" in self.name else ""

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.name)

    @cached_property
    def comments(self) -> list[tuple[int, str]]:
        """Line number and text of every comment."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]

    @cached_property
    def docstrings(self) -> list[tuple[int, int, str]]:
        """First line, last line and text of every docstring."""
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, _DOCUMENTED) and (text := ast.get_docstring(node)) is not None:
                constant = node.body[0]
                found.append((constant.lineno, constant.end_lineno or constant.lineno, text))
        return found

    @cached_property
    def functions(self) -> list[Function]:
        """All functions and methods, nested ones too."""
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    @cached_property
    def classes(self) -> list[ast.ClassDef]:
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)]


def read_sources(checkout: Path) -> list[Source]:
    """All files of `proxy`, in the order of their names."""
    root = checkout / "proxy"
    return [Source(path.relative_to(root).as_posix(), path.read_text()) for path in sorted(root.rglob("*.py"))]


def layers(checkout: Path) -> tuple[str, ...]:
    """The folders of `proxy` from the bottom to the top, as this checkout's own test of the layers states them."""
    tree = ast.parse((checkout / "tests" / "unit" / "test_layers.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "LAYERS":
            return (*ast.literal_eval(node.value), "demo")
    raise ValueError("tests/unit/test_layers.py states no LAYERS")


def length(function: Function) -> int:
    """Lines of a function, its signature and docstring included, its decorators not."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def spread(values: Sequence[int]) -> tuple[int, int, int]:
    """Median, 90th percentile and maximum. All are 0 if there are no values."""
    if not values:
        return 0, 0, 0
    ordered = sorted(values)
    return int(statistics.median(ordered)), ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))], ordered[-1]


def statements_inside(node: ast.AST) -> Iterator[ast.AST]:
    """The children of a node that belong to the same function."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (*_DOCUMENTED, ast.Lambda)):
            yield child
