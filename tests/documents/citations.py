"""What code and tests cite of the documents: invariants and rows by their numbers.

A citation reads `invariant 4`, `invariants 4 and 5`, `row 37`, `rows 44 to 50`, `Rows 65, 68 and 70`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.documents.files import ROOT

_NUMBERS = r"\d+(?:(?:,| to| and|, and| or)\s+\d+|-\d+)*"
_ROWS = re.compile(rf"\b[Rr]ows?\s+({_NUMBERS})")
_INVARIANTS = re.compile(rf"\b[Ii]nvariants?\s+({_NUMBERS})")


def cited_rows(text: str) -> set[int]:
    """The numbers of the rows that a text cites."""
    return _cited(_ROWS, text)


def cited_invariants(text: str) -> set[int]:
    """The numbers of the invariants that a text cites."""
    return _cited(_INVARIANTS, text)


def _cited(pattern: re.Pattern[str], text: str) -> set[int]:
    return {number for numbers in pattern.findall(text) for number in _expand(numbers)}


def _expand(numbers: str) -> Iterator[int]:
    """`44 to 50` and `52-65` are ranges; all else are single numbers."""
    rest = re.sub(r"(\d+)(?:\s+to\s+|-)(\d+)", lambda found: _range(int(found[1]), int(found[2])), numbers)
    yield from map(int, re.findall(r"\d+", rest))


def _range(first: int, last: int) -> str:
    return " ".join(map(str, range(first, last + 1)))


def sources() -> list[Path]:
    """The files that may cite: code, tests and the documents themselves."""
    files = [path for folder in ("proxy", "tests") for path in (ROOT / folder).rglob("*.py")]
    return sorted([*files, *(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
