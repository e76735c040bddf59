"""Patterns of the configuration, compiled once: AE titles, host names and URIs.

Each star takes the first place where the next part fits, and never backtracks (an atomic group). A later place could
not match more, since a star follows the part. So no pattern takes exponential time.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache


def _compile(pattern: str, *, star: str, question_mark: bool) -> re.Pattern[str]:
    """Compile a pattern for a whole text. `star`: the class of the characters that `*` matches, any number of them."""
    parts = [
        "".join("." if char == "?" and question_mark else re.escape(char) for char in part)
        for part in re.sub(r"\*+", "*", pattern).split("*")
    ]
    if len(parts) == 1:
        return re.compile(parts[0], re.DOTALL)
    first, *middle, last = parts
    covered = "".join(f"(?>{star}*?{part})" for part in middle)
    return re.compile(f"{first}{covered}{star}*{last}", re.DOTALL)


@lru_cache(maxsize=4096)  # keys come from the configuration alone
def _dns_pattern(pattern: str) -> re.Pattern[str]:
    # Only characters of host names: `*` must match neither a NUL nor a wildcard in a certificate.
    return re.compile(r"\.".join("[a-z0-9_-]+" if label == "*" else re.escape(label) for label in pattern.split(".")))


@lru_cache(maxsize=4096)  # keys come from the configuration alone
def _uri_pattern(pattern: str) -> re.Pattern[str]:
    return _compile(pattern, star=r"[^/\x00-\x20\x7f]", question_mark=False)


def matches_dns(pattern: str, name: str) -> bool:
    """Return whether a host name matches; a label `*` matches exactly one label. Both in lower case."""
    return name == pattern or _dns_pattern(pattern).fullmatch(name) is not None


def matches_uri(pattern: str, uri: str) -> bool:
    """Return whether a URI matches; `*` does not match a `/`."""
    return uri == pattern or _uri_pattern(pattern).fullmatch(uri) is not None


def is_title_pattern(title: str) -> bool:
    """Return whether an entry of `aet` is a pattern, not a literal title."""
    return "*" in title or "?" in title


@dataclass(frozen=True, slots=True)
class TitleMatcher:
    """Finds the entries that a title belongs to. A title that any entry names literally is matched by no pattern."""

    fold: bool
    literals: dict[str, tuple[int, ...]]  # title -> entries that name it, in order
    patterns: tuple[tuple[int, str, re.Pattern[str]], ...]

    @classmethod
    def build(cls, entries: Iterable[tuple[str, ...]], *, fold: bool) -> "TitleMatcher":
        """Compile the titles and patterns of each entry; `fold`: upper and lower case are the same."""
        literals: dict[str, list[int]] = {}
        patterns: list[tuple[int, str, re.Pattern[str]]] = []
        for index, titles in enumerate(entries):
            for title in dict.fromkeys(fold_title(title) if fold else title for title in titles):
                if is_title_pattern(title):
                    patterns.append((index, title, _compile(title, star=".", question_mark=True)))
                else:
                    literals.setdefault(title, []).append(index)
        return cls(fold, {title: tuple(indexes) for title, indexes in literals.items()}, tuple(patterns))

    def find(self, title: str) -> tuple[tuple[int, ...], bool]:
        """Return the entries that the title belongs to, in order, and whether they name it literally."""
        if self.fold:
            title = fold_title(title)
        literal = self.literals.get(title)
        if literal is not None:
            return literal, True
        found = dict.fromkeys(index for index, _, pattern in self.patterns if pattern.fullmatch(title))
        return tuple(found), False


def fold_title(title: str) -> str:
    """Return a title for comparison under `aet_case: fold`. AE titles are ASCII (PS3.8 Table 9-11)."""
    return title.upper()
