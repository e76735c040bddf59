"""The form of times in logs."""

import math
from datetime import UTC, datetime
from functools import lru_cache


def rfc3339(seconds: float) -> str:
    """Return seconds since the epoch as UTC, RFC 3339 with milliseconds, limited to the years 1 to 9999."""
    try:
        second = math.floor(seconds)
        # `seconds - second` of a tiny negative time is rounded to 1.0, which would give ".1000".
        milliseconds = min(999, int((seconds - second) * 1000))
        return f"{_to_the_second(second)}.{milliseconds:03}Z"
    except (ValueError, OverflowError, OSError):  # a certificate may end in any year
        return "9999-12-31T23:59:59.999Z" if seconds > 0 else "0001-01-01T00:00:00.000Z"


@lru_cache(maxsize=64)  # many lines have the same second
def _to_the_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat(timespec="seconds")
