"""The table of codes: complete, and readable by an administrator and by the generator of the reference."""

import re
from pathlib import Path

import pytest

from proxy.config.codes import CODES, Code

PROXY = Path(__file__).parents[3] / "proxy"


def test_the_table_of_codes_is_complete_and_holds_nothing_else() -> None:
    source = "".join(path.read_text() for path in PROXY.glob("**/*.py") if path.name != "codes.py")
    assert set(re.findall(r'"([EW]\d{3})"', source)) == set(CODES)


def test_the_codes_are_sorted() -> None:
    assert list(CODES) == sorted(CODES)


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_a_code_has_a_meaning_and_a_remedy_of_one_line_each(code: Code) -> None:
    assert re.fullmatch(r"[^\n]{10,120}(?<!\.)", code.meaning)
    assert re.fullmatch(r"[A-Za-z][^\n]{10,200}\.", code.remedy)
