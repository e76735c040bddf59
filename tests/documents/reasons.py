"""docs/reference/reasons.md: each reason with its stage, its answer, the rules that give it, and its tests."""

from itertools import groupby

from proxy.observe.answers import describe_answer
from proxy.policy import Reason
from tests.documents.markdown import page, table
from tests.documents.rules import other_tests, places, rows_of

#: What stands for the rule of a reason that no code gives.
NOT_BUILT = "not built yet"


def reasons() -> str:
    """The page."""
    return page(
        "Reasons in the code",
        "proxy/policy/reasons.py",
        "Each word of `reason` with its rule and its tests. What operators do about it: [refusals.md](../refusals.md).",
        "",
        "- *Stage*: where the reason mostly arises ([stages](../architecture.md#the-life-of-an-association)).",
        "- *Rule*: the functions and tables that decide on the reason or give it.",
        "- *Rows*: rows of [robustness.md](../robustness.md). Each number links to its test with a whole gateway.",
        "- *Other tests*: unit and integration tests, at most four.",
        "",
        *table(["Reason", "Stage", "On the wire", "Rule", "Rows", "Other tests"], map(_row, Reason)),
    )


def _row(reason: Reason) -> tuple[str, ...]:
    stage = reason.stage.name.lower().replace("_", " ")
    link = f"[`{reason}`](../refusals.md#{reason})"
    root = "../.."
    wire, where = describe_answer(reason.answer), rule(reason, root)
    return link, stage, wire, where, row_links(reason, root), test_links(reason, root)


def rule(reason: Reason, root: str) -> str:
    """The functions that give a reason, by file. `root`: the path from the page to the root of the repository."""
    split = [place.split(" ") for place in places(reason)]
    by_file = ((file, [name for _, name in several]) for file, several in groupby(split, key=lambda pair: pair[0]))
    words = [f"{_link(file, file, root)}: {', '.join(f'`{name}`' for name in names)}" for file, names in by_file]
    return "; ".join(words) or NOT_BUILT


def row_links(reason: Reason, root: str) -> str:
    """The numbers of the rows of a reason, each with a link to its test."""
    return ", ".join(f"[{row.number}]({root}/tests/{file})" for row, file in rows_of(reason))


def test_links(reason: Reason, root: str) -> str:
    """The unit and integration tests of a reason, with links."""
    return ", ".join(_link(file, f"tests/{file}", root) for file in other_tests(reason))


def _link(text: str, path: str, root: str) -> str:
    return f"[`{text}`]({root}/{path})"
