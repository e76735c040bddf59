"""The open associations of a `status` answer as a table, for `top` and whatever waits for their end.

AE titles come from strangers: they are escaped and never read as rich's markup.
"""

from typing import Any

from rich.table import Table
from rich.text import Text

from proxy.cli.asking import Answer
from proxy.cli.durations import duration
from proxy.cli.output import printable
from proxy.policy.addresses import format_endpoint

_MEGABYTE = 1_000_000
_COLUMNS = ("id", "tenant", "peer", "AE titles", "age", "MB", "MB/s", "C-STOREs", "client", "server")
_NUMBERS = ("age", "MB", "MB/s", "C-STOREs")


def association_table(answer: Answer, before: Answer | None = None, *, rows: int | None = None) -> Table:
    """The busiest first, then the oldest; at most `rows`. MB/s is what flowed both ways since the answer `before`."""
    rates = _rates(answer, before)
    shown = sorted(answer["associations"], key=lambda one: (-rates.get(one["id"], 0.0), -(one["age"] or 0.0)))
    left_out = len(shown) - rows if rows is not None and len(shown) > rows else 0
    table = Table(
        box=None, pad_edge=False, caption=f"and {left_out} more" if left_out else None, caption_justify="left"
    )
    for column in _COLUMNS:
        table.add_column(column, justify="right" if column in _NUMBERS else "left", no_wrap=True)
    for one in shown[:rows]:
        table.add_row(*(Text(printable(cell)) for cell in _cells(one, rates.get(one["id"]))))
    return table


def _cells(one: Answer, rate: float | None) -> list[str]:
    return [
        one["id"],
        one["tenant"] or "-",
        one["peer"] or "-",
        f"{one['calling_aet'] or ''} > {one['called_aet'] or ''}",
        "-" if one["age"] is None else duration(one["age"]),
        "-" if (moved := _moved(one)) is None else f"{moved / _MEGABYTE:.1f}",
        "-" if rate is None else f"{rate / _MEGABYTE:.1f}",
        "-" if one["stored"] is None else str(one["stored"]),
        _address(one["client"] or {}),
        one["server"] or "-",
    ]


def _address(client: Answer) -> str:
    host, port = str(client.get("ip", "-")), client.get("port")
    if port is None:
        return host
    return format_endpoint(host, port)


def _moved(one: Answer) -> int | None:
    """Bytes both ways; None where the worker gave no answer in time."""
    if one["bytes_in"] is None or one["bytes_out"] is None:
        return None
    return int(one["bytes_in"] + one["bytes_out"])


def _rates(answer: Answer, before: Answer | None) -> dict[str, float]:
    """Association id -> bytes a second since the answer `before`, where both know it."""
    if before is None or (seconds := answer["time"] - before["time"]) <= 0:
        return {}
    earlier: dict[str, Any] = {one["id"]: _moved(one) for one in before["associations"]}
    rates = {}
    for one in answer["associations"]:
        moved, moved_before = _moved(one), earlier.get(one["id"])
        if moved is not None and moved_before is not None:
            rates[one["id"]] = max(0.0, (moved - moved_before) / seconds)
    return rates
