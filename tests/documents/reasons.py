"""docs/reference/reasons.md: where each reason comes from, what answers it, and which rows test it."""

import re
from functools import cache

from proxy.observe.answers import describe_answer
from proxy.policy import Reason
from tests.documents.files import ROOT
from tests.documents.markdown import code, page, table
from tests.documents.rows import rows

#: Where reasons are described or counted, not given.
_NOT_GIVING = ("proxy/cli/", "proxy/explain/", "proxy/observe/", "proxy/policy/reasons.py")


def reasons() -> str:
    """The page."""
    return page(
        "Reasons in the code",
        "proxy/policy/reasons.py",
        "For each word of `reason`: the stage and the files that give it, the answer on the wire, and its tests: rows",
        "of [robustness.md](../robustness.md), or files below `tests/` where no row has it. What operators do about it",
        "is in [refusals.md](../refusals.md).",
        "",
        *table(["Reason", "Stage", "On the wire", "In the code", "Tests"], map(_row, Reason)),
    )


def _row(reason: Reason) -> tuple[str, ...]:
    numbers = [str(row.number) for row in rows().values() if reason in row.reasons]
    stage = reason.stage.name.lower().replace("_", " ")
    link = f"[`{reason}`](../refusals.md#{reason})"
    symbol = rf"\bReason\.{reason.name}\b"
    given_in = [name for name in _naming(symbol, "proxy") if not name.startswith(_NOT_GIVING)]
    named_in = _naming(f'{symbol}|"{reason}"', "tests")
    tests = ", ".join(numbers) or code(name.removeprefix("tests/") for name in named_in)
    return link, stage, describe_answer(reason.answer), code(given_in), tests


def _naming(pattern: str, folder: str) -> list[str]:
    """The files of a folder that contain the pattern."""
    return [path for path, text in _sources(folder) if re.search(pattern, text)]


@cache
def _sources(folder: str) -> list[tuple[str, str]]:
    files = sorted((ROOT / folder).rglob("*.py"))
    return [(path.relative_to(ROOT).as_posix(), path.read_text()) for path in files]
