"""How every verb speaks: results on standard output, the rest on standard error, colour only on a terminal."""

import enum
import json
import sys
from typing import Annotated, Any

import typer

OK, NO, USAGE, UNREACHABLE = 0, 1, 2, 3


class Format(enum.StrEnum):
    """`--format` of every verb that reads."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="How to print the result.")]


class CommandError(Exception):
    """Ends the command. The text says what is wrong, where, and what to type next."""

    def __init__(self, message: str, exit_code: int = USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def say(text: str = "", style: str = "") -> None:
    """One line of the result. `style` is rich's, e.g. "bold red"; it shows on a terminal only."""
    _print(text, style, to_error=False)


def note(text: str, style: str = "") -> None:
    """One line that is not the result: progress, warnings, what to type next."""
    _print(text, style, to_error=True)


def complain(text: str) -> None:
    note(f"dicomgate: {text}", "red")


def say_json(value: Any) -> None:
    """The result as one JSON document. ASCII, so that no terminal is told what a stranger's text would tell it."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def printable(text: str) -> str:
    """Text of strangers (names in certificates, AE titles) with control characters and the like escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def duration(seconds: float) -> str:
    """A duration in its two largest units, such as `3 h 05 min`."""
    whole = max(0, int(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour:02} h"
    if hours:
        return f"{hours} h {minute:02} min"
    if minutes:
        return f"{minutes} min {second:02} s"
    return f"{second} s"


def _print(text: str, style: str, *, to_error: bool) -> None:
    stream = sys.stderr if to_error else sys.stdout
    if style and stream.isatty():
        from rich.console import Console

        Console(file=stream).print(text, style=style, markup=False, highlight=False, emoji=False, soft_wrap=True)
    else:
        stream.write(text + "\n")
