"""Sizes: files, functions, classes, parameters, nesting, comments and docstrings."""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tests.figures.sources import Function, Source, length, spread, statements_inside

LONG_FUNCTION = 40  # lines
LARGE_FILE, TOO_LARGE_FILE = 300, 320  # lines: the goal and the limit
MANY_METHODS = 20
MANY_PARAMETERS = 6
DEEP = 4  # blocks inside one another

_BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)


@dataclass(frozen=True)
class Layer:
    """One folder: files, lines, and the lengths of its functions."""

    files: int
    lines: int
    function_lengths: tuple[int, int, int]


@dataclass(frozen=True)
class Shape:
    """Every (int, int, int) is a median, a 90th percentile and a maximum; shares are per cent of all lines."""

    files: int
    lines: int
    functions: int
    function_lengths: tuple[int, int, int]
    long_functions: list[str]
    file_lengths: tuple[int, int, int]
    large_files: list[str]
    too_large_files: list[str]
    comment_share: float
    docstring_share: float
    classes_of_many_methods: list[str]
    repeated_class_names: list[str]
    many_parameters: list[str]
    deep_functions: list[str]
    type_ignores: int
    noqas: int
    anys: int
    modules_without_docstring: list[str]
    layers: dict[str, Layer]


def measure(sources: Sequence[Source]) -> Shape:
    """Measure all files together, and each folder."""
    functions = [(source, function) for source in sources for function in source.functions]
    lengths = {source.name: len(source.lines) for source in sources}
    lines = sum(lengths.values())
    return Shape(
        files=len(sources),
        lines=lines,
        functions=len(functions),
        function_lengths=spread([length(function) for _, function in functions]),
        long_functions=_places(functions, length, LONG_FUNCTION),
        file_lengths=spread(list(lengths.values())),
        large_files=_longer_than(LARGE_FILE, lengths),
        too_large_files=_longer_than(TOO_LARGE_FILE, lengths),
        comment_share=_share(sum(len({line for line, _ in source.comments}) for source in sources), lines),
        docstring_share=_share(sum(_docstring_lines(source) for source in sources), lines),
        classes_of_many_methods=[
            f"{source.name} {node.name} {count}"
            for source in sources
            for node in source.classes
            if (count := sum(isinstance(member, Function) for member in node.body)) > MANY_METHODS
        ],
        repeated_class_names=_repeated_class_names(sources),
        many_parameters=_places(functions, parameters, MANY_PARAMETERS),
        deep_functions=_places(functions, nesting, DEEP - 1),
        type_ignores=sum("type: ignore" in text for source in sources for _, text in source.comments),
        noqas=sum("noqa" in text for source in sources for _, text in source.comments),
        anys=sum(len(re.findall(r"\bAny\b", line)) for source in sources for line in source.lines if _uses(line)),
        modules_without_docstring=[
            source.name for source in sources if source.tree.body and ast.get_docstring(source.tree) is None
        ],
        layers={folder: _layer(sources, folder) for folder in sorted({source.folder for source in sources} - {""})},
    )


def parameters(function: Function) -> int:
    """Parameters that a caller can give: `self` and `cls` do not count, `*args` and `**kwargs` count as one each."""
    given = function.args
    named = [one.arg for one in (*given.posonlyargs, *given.args)]
    own = 1 if named[:1] in (["self"], ["cls"]) else 0
    return len(named) - own + len(given.kwonlyargs) + (given.vararg is not None) + (given.kwarg is not None)


def nesting(function: Function) -> int:
    """The most blocks inside one another; an `elif` is no deeper than its `if`."""
    return _depth(function, 0)


def _depth(node: ast.AST, depth: int) -> int:
    deepest = depth
    for child in statements_inside(node):
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, _depth(child, depth + (isinstance(child, _BLOCKS) and not is_elif)))
    return deepest


def _layer(sources: Sequence[Source], folder: str) -> Layer:
    chosen = [source for source in sources if source.folder == folder]
    lengths = [length(function) for source in chosen for function in source.functions]
    return Layer(len(chosen), sum(len(source.lines) for source in chosen), spread(lengths))


def _repeated_class_names(sources: Sequence[Source]) -> list[str]:
    files: dict[str, list[str]] = {}
    for source in sources:
        for node in source.classes:
            files.setdefault(node.name, []).append(source.name)
    return [f"{name}: {', '.join(places)}" for name, places in sorted(files.items()) if len(places) > 1]


def _docstring_lines(source: Source) -> int:
    return sum(last - first + 1 for first, last, _ in source.docstrings)


def _places(functions: Sequence[tuple[Source, Function]], measured: object, most: int) -> list[str]:
    assert callable(measured)
    return [
        f"{source.name}:{function.lineno} {function.name} {value}"
        for source, function in functions
        if (value := measured(function)) > most
    ]


def _longer_than(most: int, lengths: dict[str, int]) -> list[str]:
    return [f"{name} {lines}" for name, lines in lengths.items() if lines > most]


def _share(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def _uses(line: str) -> bool:
    return not line.lstrip().startswith(("#", "from ", "import "))
