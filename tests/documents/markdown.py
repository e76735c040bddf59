"""Markdown that is made from tables of the code."""

from collections.abc import Iterable, Sequence

#: How a generated page says where it comes from. The argument: the file that holds the facts.
GENERATED = "Generated from `{}` by `python -m tests.documents`; a test keeps the two equal."


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    head = [line(titles), line(["---"] * len(titles)).replace(" ", "")]
    return [*head, *(line([cell(text) for text in row]) for row in rows)]


def line(cells: Sequence[str]) -> str:
    """One row."""
    return f"| {' | '.join(cells)} |"


def cell(text: str) -> str:
    """A text that cannot end its cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def code(words: Iterable[str]) -> str:
    """Words in backticks, with commas."""
    return ", ".join(f"`{word}`" for word in words)


def page(title: str, source: str, *lines: str) -> str:
    """A whole page."""
    return "\n".join([f"# {title}", "", GENERATED.format(source), "", *lines]).rstrip() + "\n"
