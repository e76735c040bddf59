"""An event or access record as one line of printable ASCII: JSON, or text for a terminal.

A field may contain any bytes from a peer. JSON escapes everything but printable ASCII, including the bidirectional
controls of Unicode, and the console form quotes with the same escapes. So a line stays one line and contains no control
character, and a peer can neither forge a second record nor send escape sequences to a terminal (invariant 8,
docs/architecture.md).
"""

import json
import re
from collections.abc import Mapping

#: Created once: with options, `json.dumps` would create an encoder for each call.
_dumps = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"), default=str).encode

#: Text that needs no quotes in `key=value`.
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")  # printable ASCII without space, quote, equals sign and backslash

#: Fields of an access record that the console form shows. The JSON form has all of them.
_ACCESS_FIELDS = (
    "listener",
    "tenant",
    "peer",
    "client",
    "sni",
    "calling_aet",
    "called_aet",
    "reason",
    "detail",
    "answer",
    "would_refuse",
    "upstream",
    "server",
    "bytes_in",
    "bytes_out",
    "duration_s",
    "id",
)


def json_line(record: Mapping[str, object]) -> str:
    """Return the record as one JSON object (RFC 8259). A value without a JSON form is written as text."""
    try:
        return _dumps(record)
    except (TypeError, ValueError):  # NaN, infinity, a key that is no text: a log line must not raise
        return _dumps({str(key): value if isinstance(value, str) else repr(value) for key, value in record.items()})


def console_line(record: Mapping[str, object]) -> str:
    """Return the record as `time LEVEL event key=value ...`."""
    fields = dict(record)
    head = [str(fields.pop("ts", "")), str(fields.pop("level", "info")).upper().ljust(7), str(fields.pop("event", ""))]
    if "schema" in fields:  # an access record
        # A refused request has decision and ending `refused`: one word says both.
        head += dict.fromkeys(str(fields.get(key, "")) for key in ("decision", "ended"))
        fields = {key: fields[key] for key in _ACCESS_FIELDS if key in fields}
    return " ".join([*head, *(f"{key}={_console_value(value)}" for key, value in fields.items())])


def _console_value(value: object) -> str:
    if isinstance(value, Mapping):  # `client` is the only one shown
        value = ":".join(str(value[key]) for key in ("ip", "port") if key in value)
    text = value if isinstance(value, str) else str(value)
    return text if _PLAIN.fullmatch(text) else _dumps(text)
