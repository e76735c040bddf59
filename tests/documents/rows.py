"""The rows of docs/robustness.md, as tests read them."""

import re
from dataclasses import dataclass

from tests.documents.files import ROOT, read

ROBUSTNESS = "docs/robustness.md"
#: | number | what comes in | what happens | reasons | tests |
_ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \| (.*?) \| (.+) \|$", re.MULTILINE)
_WORD = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Row:
    """One row: its number, its reasons, and its test files, relative to the folder `tests`."""

    number: int
    came: str
    happens: str
    reasons: frozenset[str]
    files: tuple[str, ...]


def rows() -> dict[int, Row]:
    """Every row by its number, in the order of the document."""
    found: dict[int, Row] = {}
    for number, came, happens, reasons, files in _ROW.findall(read(ROBUSTNESS)):
        row = Row(int(number), came, happens, frozenset(_WORD.findall(reasons)), tuple(_WORD.findall(files)))
        assert row.number not in found, f"row {number} stands twice in {ROBUSTNESS}"
        found[row.number] = row
    return found


def numbered_tests() -> dict[int, set[str]]:
    """The files with a test function that is named for a row, by the number of the row."""
    found: dict[int, set[str]] = {}
    tests = ROOT / "tests"
    for file in sorted(tests.rglob("test_*.py")):
        for number in re.findall(r"^def test_row_(\d{3})_", file.read_text(), re.MULTILINE):
            found.setdefault(int(number), set()).add(file.relative_to(tests).as_posix())
    return found
