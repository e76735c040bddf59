"""How often comments and docstrings fall into patterns that a reader stumbles over."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tests.figures.sources import Source

WORDS = ("behind", "nobody", "anybody", "whoever", "whatever", "anew", "told", "tells", "says", "said")
_PRONOUN = re.compile(r"(It|Its|What|Who|Those|They|Their|These|This|One)\b")
_CLAUSES = ("What", "Who", "Whom", "Whose", "Whether", "Which", "Where", "When", "Why", "How")


@dataclass(frozen=True)
class Prose:
    """Counts over all comments and docstrings; `clauses` and `pronouns` are docstrings that begin so."""

    docstrings: int
    words: dict[str, int]
    clauses: int
    pronouns: int


def measure(sources: Sequence[Source]) -> Prose:
    """Count words in comments and docstrings, and beginnings of docstrings."""
    docstrings = [text for source in sources for _, _, text in source.docstrings]
    texts = [*docstrings, *(text for source in sources for _, text in source.comments)]
    words = re.findall(r"[a-z]+", "\n".join(texts).lower())
    return Prose(
        docstrings=len(docstrings),
        words={word: words.count(word) for word in WORDS},
        clauses=sum(text.startswith(_CLAUSES) for text in docstrings),
        pronouns=sum(_PRONOUN.match(text) is not None for text in docstrings),
    )
