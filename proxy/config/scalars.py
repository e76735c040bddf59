"""Readers of single values: text in, checked value out, ValueError with a sentence for the administrator. Pure."""

import base64
import binascii
import datetime
import math
import re
from collections.abc import Callable

from proxy.config.quoting import shown
from proxy.pdu.ae_title import check_ae_title

_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SIZE = re.compile(r"(\d{1,12})(B|KiB|MiB|GiB)?")
_BYTES = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_INTEGER = re.compile(r"0|[1-9]\d{0,9}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_KEYWORD = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")


def scalar(value: object) -> str:
    """Return the text of one value as plain `str`. Raises ValueError for a list, a mapping or an empty text."""
    if not isinstance(value, str):
        raise ValueError(f"must be a single value, not a {'list' if isinstance(value, list) else 'mapping'}")
    if not value:
        raise ValueError("is empty")
    return str(value)


def duration(minimum: float = 0.0, *, never: bool = False) -> Callable[[object], float]:
    """Return a reader of durations, which gives seconds. With `never` it also reads that word, as `math.inf`."""

    def read(value: object) -> float:
        text = scalar(value)
        if never and text == "never":
            return math.inf
        match = _DURATION.fullmatch(text)
        if match is None:
            example = "30s, 10m, 1h, 250ms or never" if never else "30s, 10m, 1h or 250ms"
            raise ValueError(f"{shown(text)} is not a duration: write it like {example}")
        seconds = int(match[1]) * _SECONDS[match[2]]
        if seconds < minimum or (minimum > 0 and seconds == 0):
            raise ValueError(f"{text} is too short: at least {minimum * 1000:g}ms")
        return seconds

    return read


def size(minimum: int, maximum: int) -> Callable[[object], int]:
    """Return a reader of sizes, which gives bytes in minimum..maximum."""

    def read(value: object) -> int:
        text = scalar(value)
        match = _SIZE.fullmatch(text)
        if match is None:
            raise ValueError(f"{shown(text)} is not a size: write it like 256KiB, 1MiB or 8454667")
        result = int(match[1]) * _BYTES[match[2] or ""]
        if not minimum <= result <= maximum:
            raise ValueError(f"{text} is not in {minimum}..{maximum} bytes")
        return result

    return read


def integer(minimum: int, maximum: int) -> Callable[[object], int]:
    """Return a reader of whole numbers in minimum..maximum."""

    def read(value: object) -> int:
        text = scalar(value)
        if _INTEGER.fullmatch(text) is None:
            raise ValueError(f"{shown(text)} is not a whole number")
        if not minimum <= int(text) <= maximum:
            expected = f"in {minimum}..{maximum}" if minimum < maximum else f"{maximum}, the only supported value"
            raise ValueError(f"{text} is not {expected}")
        return int(text)

    return read


def boolean(value: object) -> bool:
    """Read `true` or `false`. The other spellings of YAML (`yes`, `ON`) are errors, as YAML 1.1 and 1.2 disagree."""
    text = scalar(value)
    if text not in ("true", "false"):
        raise ValueError(f"{shown(text)}: write true or false")
    return text == "true"


def name(value: object) -> str:
    """Read a name that the administrator gives. It needs no quoting in metric labels, logs and command lines."""
    text = scalar(value)
    if _NAME.fullmatch(text) is None:
        raise ValueError(
            f"{shown(text)}: a name has 1 to 63 letters, digits, `.`, `_` or `-` and begins with a letter or digit"
        )
    return text


def label(value: object) -> str:
    """Read the name of a peer: printable ASCII, which every terminal and metrics system can show."""
    text = scalar(value)
    if len(text) > 64 or not text.isascii() or not text.isprintable():
        raise ValueError(f"{shown(text)}: at most 64 printable ASCII characters")
    return text


def comment(value: object) -> str:
    """Read free text on one line."""
    text = scalar(value)
    if len(text) > 256 or not text.isprintable():
        raise ValueError("a comment is one line of at most 256 printable characters")
    return text


def ae_title(value: object) -> str:
    """Read an AE title, or a pattern of AE titles, by the rule of `check_ae_title`."""
    text = scalar(value)
    problem = check_ae_title(text)
    if problem is not None:
        raise ValueError(problem)
    if text != text.strip(" "):
        raise ValueError(f"{shown(text)}: spaces at the ends of an AE title are not significant, leave them out")
    return text


def literal_ae_title(value: object) -> str:
    """Read an AE title where a pattern is not accepted."""
    text = ae_title(value)
    if "*" in text or "?" in text:
        raise ValueError(f"{shown(text)}: a pattern is not accepted here, write the title")
    return text


def fingerprint(value: object) -> str:
    """Read a SHA-256 fingerprint in hex with or without colons, as 64 lower-case digits."""
    text = scalar(value)
    digits = text.replace(":", "").lower()
    if not re.fullmatch("[0-9a-f]{64}", digits):
        raise ValueError(f"{shown(text)} is not a SHA-256 fingerprint: 64 hex digits, colons allowed")
    return digits


def spki_pin(value: object) -> str:
    """Read the SHA-256 of a public key in base64, in canonical spelling (padding included)."""
    text = scalar(value)
    # Encode it again: base64 has several spellings of one value (stray bits at the end), and pins are compared as text.
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 32:
        raise ValueError(f"{shown(text)} is not the base64 of a SHA-256 (44 characters)")
    return base64.b64encode(digest).decode("ascii")


def uid_or_keyword(value: object) -> str:
    """Read a UID (PS3.5 9.1), or a word that may be the keyword of a UID (PS3.6)."""
    text = scalar(value)
    if (len(text) <= 64 and _UID.fullmatch(text)) or _KEYWORD.fullmatch(text):
        return text
    raise ValueError(f"{shown(text)} is neither a UID nor a keyword of PS3.6")


def moment(value: object) -> float:
    """Read an ISO date, or date and time, as seconds since the epoch. Without a time: midnight; without a zone: UTC."""
    text = scalar(value)
    try:
        when = datetime.datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"{shown(text)} is not a date: write it like 2026-10-31 or 2026-10-31T18:00:00Z") from None


def processes(value: object) -> int | None:
    """Read the number of worker processes; None for `auto`."""
    return None if value == "auto" else integer(1, 256)(value)
