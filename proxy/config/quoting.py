"""Makes text of unknown origin safe to show: in a message, on one line of a terminal, as a value of YAML. Pure."""

import json
import re

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LONGEST_SHOWN = 64


def shown(text: str) -> str:
    """Return `text` in quotes, escaped to ASCII and cut to 64 characters, for a message."""
    return ascii(str(text) if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "...")


def printable(text: str) -> str:
    """Return `text` on one line without quotes. Control characters, which a terminal would obey, are escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def yaml_text(text: str) -> str:
    """Return `text` as a value of the configuration, quoted if a colon, a star, `null` or `${` could change it."""
    if _PLAIN.fullmatch(text) and text.lower() != "null":
        return text
    return json.dumps(text.replace("${", "$${"))
