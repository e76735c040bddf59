"""Reads the text of an Orthanc configuration as Orthanc does: variables, comments, several files. Pure.

Orthanc substitutes environment variables in the text before it parses it. It accepts `//` and `/* */` comments and a
comma after the last element, takes the last of two equal keys, and refuses a key that two files of a folder have.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from proxy.config.quoting import shown

JsonObject = dict[str, Any]

# ${NAME}, ${NAME:-default}, ${NAME:-"default"}, ${NAME:-'default'}; the name ends at the brace or colon.
_VARIABLE = re.compile(r"\$\{([^:}]*)(?::-(?:\"([^\"]*)\"|'([^']*)'|([^'\"}]*)))?\}")
# Strings are matched too, and kept: `//` and `,]` inside them are text. Without the possessive `*+` an unterminated
# string would be scanned once more, backwards.
_STRING = r'"(?:[^"\\]|\\.)*+"'
_COMMENT = re.compile(rf"({_STRING})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"({_STRING})|,(?=\s*[}}\]])", re.DOTALL)


class OrthancError(ValueError):
    """The configuration cannot be imported. `problems`: one sentence for each problem."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class OrthancText:
    """The members of all files. `unset`: variables without a value or default, which Orthanc reads as empty.

    `repeated`: keys that one object contains twice.
    """

    values: JsonObject
    unset: tuple[str, ...]
    repeated: tuple[str, ...]


def read_text(files: Mapping[str, bytes], environ: Mapping[str, str]) -> OrthancText:
    """Parse and merge files, given by name. Raises OrthancError; each problem begins with the name of the file."""
    merged: JsonObject = {}
    unset, repeated = dict[str, None](), dict[str, None]()
    origin = dict[str, str]()
    problems = list[str]()
    for name, data in files.items():
        # Real files contain bytes that are not UTF-8, in comments and paths.
        text = _substitute(data.decode("utf-8-sig", "surrogateescape"), environ, unset)
        try:
            values = _parse(text, repeated)
        except ValueError as error:
            problems.append(f"{name}: {error}")
            continue
        for key, value in values.items():
            if key in merged:
                problems.append(f"{name}: {shown(key)} is in {origin[key]} already; Orthanc refuses to start with it")
            merged[key], origin[key] = value, name
    if problems:
        raise OrthancError(problems)
    return OrthancText(merged, tuple(unset), tuple(repeated))


def _substitute(text: str, environ: Mapping[str, str], unset: dict[str, None]) -> str:
    """Replace variables everywhere, in strings, numbers and comments. Add those without value or default to `unset`."""

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name in environ:
            return environ[name]
        default = next((group for group in match.groups()[1:] if group is not None), None)
        if default is None:
            unset[name] = None
        return default or ""

    return _VARIABLE.sub(replace, text)


def _parse(text: str, repeated: dict[str, None]) -> JsonObject:
    """Parse one file. Raises ValueError with line and column."""

    def members(pairs: list[tuple[str, Any]]) -> JsonObject:
        result: JsonObject = {}
        for key, value in pairs:
            if key in result:
                repeated[key] = None
            result[key] = value
        return result

    def constant(word: str) -> NoReturn:
        raise ValueError(f"{word} is not JSON")

    # Spaces replace comments and commas, so that the lines and columns of errors are those of the file.
    plain = _COMMENT.sub(lambda match: match[1] or re.sub(r"[^\n]", " ", match[0]), text)
    plain = _TRAILING_COMMA.sub(lambda match: match[1] or " ", plain)
    try:
        # strict=False: Orthanc accepts control characters such as tabs in strings.
        value = json.loads(plain, strict=False, object_pairs_hook=members, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("not an Orthanc configuration: nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an Orthanc configuration: expected an object {...}")
    return value
