"""Output of all verbs: results on standard output, the rest on standard error, colour on a terminal only."""

import contextlib
import enum
import json
import sys
from typing import Annotated, Any

import typer

OK, NO, USAGE, UNREACHABLE = 0, 1, 2, 3


class Format(enum.StrEnum):
    """`--format` of the verbs that print results."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="Format of the result.")]


class CommandError(Exception):
    """Ends the command. The message says what is wrong, where, and what to type next."""

    def __init__(self, message: str, exit_code: int = USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def say(text: str = "", style: str = "") -> None:
    """Print one line of the result. `style` is one of rich, such as "bold red", for terminals."""
    _print(text, style, to_error=False)


def note(text: str, style: str = "") -> None:
    """Print one line that is not the result: progress, a warning, the next command."""
    _print(text, style, to_error=True)


def complain(text: str) -> None:
    """Print the error that ends the command."""
    note(f"dicomgate: {text}", "red")


def say_json(value: Any) -> None:
    """Print the result as one JSON document, in ASCII: text that a peer chose must not control the terminal."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def duration(seconds: float) -> str:
    """Return a duration, given in seconds, in its two largest units, such as `3 h 05 min`."""
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
    if to_error:
        # Python buffers standard output that is no terminal, and not standard error: without the flush `2>&1` shows a
        # note before the result that it follows. A flush that fails keeps its data; `main` reports it at the end.
        with contextlib.suppress(OSError):
            sys.stdout.flush()
    if style and stream.isatty():
        from rich.console import Console

        Console(file=stream).print(text, style=style, markup=False, highlight=False, emoji=False, soft_wrap=True)
    else:
        stream.write(text + "\n")
