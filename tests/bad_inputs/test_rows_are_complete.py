"""Every row of the bad-input list is tested or waits for a named issue."""

import re
from pathlib import Path

from tests.bad_inputs.waiting import ELSEWHERE, WAITING

ROWS = set(range(1, 148))
_TEST = re.compile(r"^def test_row_(\d{3})_", re.MULTILINE)


def test_each_row_is_tested_or_waits() -> None:
    files = Path(__file__).parent.glob("test_*.py")
    tested = {int(number) for file in files for number in _TEST.findall(file.read_text())}
    assert tested | WAITING.keys() | ELSEWHERE.keys() == ROWS


def test_scenarios_that_test_rows_are_there() -> None:
    tests = Path(__file__).parents[1]
    there = {file.stem for folder in ("integration", "soak") for file in (tests / folder).glob("test_*.py")}
    assert {name for names in ELSEWHERE.values() for name in names} <= there


def test_files_hold_the_rows_that_they_are_named_for() -> None:
    for file in Path(__file__).parent.glob("test_*_row*_[0-9]*.py"):
        numbers = [int(part) for part in re.findall(r"_(\d{3})", file.stem)]
        rows = {int(number) for number in _TEST.findall(file.read_text())}
        assert rows and min(rows) == numbers[0], f"{file.name}: {sorted(rows)}"
