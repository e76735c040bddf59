"""docs/robustness.md and the tests that carry its numbers say the same."""

import ast
import re
from pathlib import Path

import pytest

from proxy.policy import Reason, Reject
from tests.documents.citations import cited_rows
from tests.documents.rows import numbered_tests, rows

TESTS = Path(__file__).parents[1]
ROWS = rows()
#: Not a claim of the row: the way a test's own client ends a probe; TLS alerts and an event of that name.
OF_NO_ROW = {"requestor_gone", "certificate_required", "protocol_version", "internal"}


def test_the_numbers_are_complete() -> None:
    assert sorted(ROWS) == list(range(1, 148))


def test_every_numbered_test_is_in_its_row() -> None:
    for number, files in numbered_tests().items():
        assert number in ROWS, f"{sorted(files)}: there is no row {number}"
        missing = files - set(ROWS[number].files)
        assert not missing, f"row {number} does not name {sorted(missing)}"


@pytest.mark.parametrize("number", ROWS)
def test_every_row_has_tests_that_name_it(number: int) -> None:
    """By the name of a test function, or by a citation of the row in the file."""
    named = numbered_tests().get(number, set())
    for file in ROWS[number].files:
        text = (TESTS / file).read_text()
        assert file in named or number in cited_rows(text), f"{file} does not name row {number}"


@pytest.mark.parametrize("number", ROWS)
def test_reasons_are_of_the_vocabulary(number: int) -> None:
    assert ROWS[number].reasons <= set(Reason)


@pytest.mark.parametrize("number", ROWS)
def test_rejections_are_those_of_the_reasons(number: int) -> None:
    row = ROWS[number]
    said = set(re.findall(r"RJ (\d/\d/\d)", row.happens))
    answers = [Reason(reason).answer for reason in row.reasons]
    known = {f"{a.result}/{a.source}/{a.reason}" for a in answers if isinstance(a, Reject)}
    assert said <= known or "uniform_rejects" in row.came


@pytest.mark.parametrize("number", numbered_tests())
def test_reasons_that_tests_assert_are_in_the_row(number: int) -> None:
    for file in numbered_tests()[number]:
        missing = asserted(TESTS / file, number) - ROWS[number].reasons - OF_NO_ROW
        assert not missing, f"{file} asserts {sorted(missing)}, which row {number} does not have"


def asserted(file: Path, number: int) -> set[str]:
    """The reasons in the text of a row's tests or in a constant they use: `not_tls`, `1/1/1 request_ambiguous`."""
    module = ast.parse(file.read_text())
    constants = {
        target.id: node.value
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    tests = [node for node in module.body if getattr(node, "name", "").startswith(f"test_row_{number:03}_")]
    found: set[str] = set()
    for test in tests:
        for node in ast.walk(test):
            value = constants.get(node.id, node) if isinstance(node, ast.Name) else node
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found |= set(value.value.split(" ")[-1:]) & set(Reason)
    return found


def test_files_hold_the_rows_that_they_are_named_for() -> None:
    for file in Path(__file__).parent.glob("test_*_row*_[0-9]*.py"):
        numbers = [int(part) for part in re.findall(r"_(\d{3})", file.stem)]
        rows_of_file = {row for row, files in numbered_tests().items() if f"bad_inputs/{file.name}" in files}
        assert rows_of_file and min(rows_of_file) == numbers[0], f"{file.name}: {sorted(rows_of_file)}"
