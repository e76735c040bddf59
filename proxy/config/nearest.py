"""Suggestions for misspelt words. Pure."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6, *, fold_case: bool = False) -> str:
    """Return `; did you mean X?` with the word of `known` most like `word`, or "" if all are below `cutoff` (0..1)."""
    words = {each.lower() if fold_case else each: each for each in known}
    near = difflib.get_close_matches(word.lower() if fold_case else word, words, n=1, cutoff=cutoff)
    return f"; did you mean {words[near[0]]}?" if near else ""
