"""One event or access record as one line of printable ASCII: JSON, or text for humans on a terminal.

Whatever a peer put into a field, the line stays one line and sends no control character to a terminal: JSON escapes
all but printable ASCII (bidirectional controls included), and the console form quotes with the same escapes.
"""

import json
import re
from collections.abc import Mapping

#: Made once: `json.dumps` makes an encoder for each call whose options are not its defaults.
_dumps = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"), default=str).encode

#: Text that needs no quotes in `key=value`.
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")  # printable ASCII but space, quote, equals sign, backslash

#: What the console form shows of an access record; the whole is in the JSON form.
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
    """The record as one JSON object (RFC 8259). What JSON cannot say becomes its text."""
    try:
        return _dumps(record)
    except (TypeError, ValueError):  # NaN, infinity, odd keys: a log line is never worth an exception
        return _dumps({str(key): value if isinstance(value, str) else repr(value) for key, value in record.items()})


def console_line(record: Mapping[str, object]) -> str:
    """The record as `time LEVEL event key=value ...`."""
    fields = dict(record)
    head = [str(fields.pop("ts", "")), str(fields.pop("level", "info")).upper().ljust(7), str(fields.pop("event", ""))]
    if "schema" in fields:  # an access record
        head += [str(fields.get("decision", "")), str(fields.get("ended", ""))]
        fields = {key: fields[key] for key in _ACCESS_FIELDS if key in fields}
    return " ".join([*head, *(f"{key}={_console_value(value)}" for key, value in fields.items())])


def _console_value(value: object) -> str:
    if isinstance(value, Mapping):  # of the shown fields only `client`
        value = ":".join(str(value[key]) for key in ("ip", "port") if key in value)
    text = value if isinstance(value, str) else str(value)
    return text if _PLAIN.fullmatch(text) else _dumps(text)
