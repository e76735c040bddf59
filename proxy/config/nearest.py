"""Suggestions for misspelt words. Pure."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6, *, fold_case: bool = False) -> str:
    """`; did you mean X?` with the nearest of `known`, or "" if none is at least `cutoff` (0 to 1) alike."""
    words = {each.lower() if fold_case else each: each for each in known}
    near = difflib.get_close_matches(word.lower() if fold_case else word, words, n=1, cutoff=cutoff)
    return f"; did you mean {words[near[0]]}?" if near else ""
