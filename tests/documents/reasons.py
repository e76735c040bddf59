"""docs/reference/reasons.md: each reason with its stage, its answer, the rules that give it, and its tests."""

from collections.abc import Iterator

from proxy.observe.answers import describe_answer
from proxy.policy import Reason
from tests.documents.markdown import page, table
from tests.documents.rules import other_tests, places, rows_of
from tests.documents.stages import stages_of

#: What stands for the rule of a reason that no code gives.
NOT_BUILT = "not built yet"
#: Functions of one file that a document names. A parser that has more is named by its file alone.
_MOST_FUNCTIONS = 6


def reasons() -> str:
    """The page."""
    return page(
        "Reasons in the code",
        "proxy/policy/reasons.py",
        "Each word of `reason` with its rule and its tests. What operators do about it: [refusals.md](../refusals.md).",
        "",
        "- *Stages*: where the reason mostly arises ([stages](../architecture.md#the-life-of-an-association)).",
        "- *Rule*: the functions and tables that decide on the reason or give it; those that decide come first.",
        "- *Rows*: rows of [robustness.md](../robustness.md). A number links to a test file of the row that names the",
        "  reason, and stands once for each such file.",
        "- *Other tests*: unit and integration tests, at most four.",
        "",
        *table(["Reason", "Stages", "On the wire", "Rule", "Rows", "Other tests"], map(_row, Reason)),
    )


def _row(reason: Reason) -> tuple[str, ...]:
    link = f"[`{reason}`](../refusals.md#{reason})"
    root = "../.."
    wire, where = describe_answer(reason.answer), rule(reason, root)
    return link, ", ".join(stages_of(reason)), wire, where, row_links(reason, root), test_links(reason, root)


def rule(reason: Reason, root: str) -> str:
    """The functions that give a reason, by file. `root`: the path from the page to the root of the repository."""
    by_file: dict[str, list[str]] = {}
    for file, _, name in (place.partition(" ") for place in places(reason)):
        by_file.setdefault(file, []).append(name)
    return "; ".join(_functions(file, names, root) for file, names in by_file.items()) or NOT_BUILT


def _functions(file: str, names: list[str], root: str) -> str:
    link = _link(file, file, root)
    return link if len(names) > _MOST_FUNCTIONS else f"{link}: {', '.join(f'`{name}`' for name in names)}"


def row_links(reason: Reason, root: str, *, functions: bool = False) -> str:
    """The numbers of the rows of a reason, each with a link to its test file; with `functions`, and the test in it."""
    return ", ".join(_row_links(reason, root, functions))


def _row_links(reason: Reason, root: str, functions: bool) -> Iterator[str]:
    for row, file, function in rows_of(reason):
        link = f"[{row.number}]({root}/tests/{file})"
        yield f"{link} `{function}`" if functions and function else link


def test_links(reason: Reason, root: str) -> str:
    """The unit and integration tests of a reason, with links."""
    return ", ".join(_link(file, f"tests/{file}", root) for file in other_tests(reason))


def _link(text: str, path: str, root: str) -> str:
    return f"[`{text}`]({root}/{path})"
