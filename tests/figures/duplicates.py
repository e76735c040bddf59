"""Runs of six lines or more that two places of `proxy` have in common; indents and texts in quotes may differ."""

import ast
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tests.figures.sources import Source

_QUOTED = re.compile(r"""[bfr]*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
LEAST = 6  # lines of code: no blank lines, comments, docstrings, imports, and no tables of a module


@dataclass(frozen=True)
class Duplicate:
    """The same lines twice. Line numbers are the first ones of each place."""

    first: str
    first_line: int
    second: str
    second_line: int
    lines: int

    def __str__(self) -> str:
        return f"{self.first}:{self.first_line} = {self.second}:{self.second_line} ({self.lines} lines)"


def find(sources: Sequence[Source]) -> list[Duplicate]:
    """Every longest run of LEAST or more equal lines, each pair of places once."""
    files = [(source.name, _said(source)) for source in sources]
    places: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    for number, (_, lines) in enumerate(files):
        for start in range(len(lines) - LEAST + 1):
            window = tuple(text for _, text in lines[start : start + LEAST])
            places[window].append((number, start))
    found = []
    for group in places.values():
        for index, one in enumerate(group):
            for other in group[index + 1 :]:
                overlap = one[0] == other[0] and other[1] - one[1] < LEAST  # a list of equal lines
                if not overlap and not _goes_on_before(files, one, other):
                    found.append(_run(files, one, other))
    return sorted(found, key=lambda duplicate: (-duplicate.lines, str(duplicate)))


def _said(source: Source) -> list[tuple[int, str]]:
    """Line numbers and texts that count. A line of brackets or of texts in quotes alone says nothing by itself."""
    silent = {line for line, text in source.comments if source.lines[line - 1].lstrip().startswith("#")}
    for first, last, _ in source.docstrings:
        silent.update(range(first, last + 1))
    for node in ast.walk(source.tree):
        is_table = isinstance(node, ast.Assign | ast.AnnAssign) and node.col_offset == 0
        if is_table or isinstance(node, ast.Import | ast.ImportFrom):
            silent.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    texts = ((number, _QUOTED.sub("''", line.strip())) for number, line in enumerate(source.lines, 1))
    return [(number, text) for number, text in texts if number not in silent and any(map(str.isalnum, text))]


Files = list[tuple[str, list[tuple[int, str]]]]


def _goes_on_before(files: Files, one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether the lines before are equal, too: then the run is found from there."""
    (a, i), (b, j) = one, other
    return i > 0 and j > 0 and files[a][1][i - 1][1] == files[b][1][j - 1][1]


def _run(files: Files, one: tuple[int, int], other: tuple[int, int]) -> Duplicate:
    (a, i), (b, j) = one, other
    (first, here), (second, there) = files[a], files[b]
    size = LEAST
    while i + size < len(here) and j + size < len(there) and here[i + size][1] == there[j + size][1]:
        size += 1
    return Duplicate(first, here[i][0], second, there[j][0], size)
