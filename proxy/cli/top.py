"""`dicomgate top`: the open associations of a `status` answer as a table.

AE titles come from peers: control characters are escaped, and rich must not interpret markup in them.
"""

import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxy.cli.asking import Answer, ConfigOption, ControlOption, Gateway, agreed, counted, find_gateway
from proxy.cli.output import duration
from proxy.config.quoting import printable
from proxy.policy.addresses import format_endpoint

if TYPE_CHECKING:
    from rich.table import Table

INTERVAL = 1.0  # seconds between two answers
_WIDTH_OF_A_FILE = 200  # columns, if standard output is no terminal
_FRAME = 4  # lines above and below the rows
_MEGABYTE = 1_000_000
_COLUMNS = ("id", "tenant", "peer", "AE titles", "age", "MB", "MB/s", "C-STOREs", "client", "server")
_NUMBERS = ("age", "MB", "MB/s", "C-STOREs")


def command(
    once: Annotated[bool, typer.Option("--once", help="Print one table, with the rates of one second.")] = False,
    control: ControlOption = None,
    config: ConfigOption = None,
) -> None:
    """Show the open associations of a running gateway, every second. q or Ctrl-C ends it.

    Exit code: 0 ok, 2 usage, 3 no gateway answers.
    """
    gateway = find_gateway(control, config)
    if once or not sys.stdout.isatty():
        _print_once(gateway)
        return
    try:
        _live(gateway)
    except KeyboardInterrupt:
        pass


def _print_once(gateway: Gateway) -> None:
    from rich.console import Console

    before = agreed(gateway.ask("status"))
    time.sleep(INTERVAL)
    answer = agreed(gateway.ask("status"))
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE, highlight=False)
    console.print(_headline(answer), markup=False)
    console.print(association_table(answer, before))


def _live(gateway: Gateway) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    before: Answer | None = None
    with Live(console=console, screen=True, auto_refresh=False) as live, _single_keys():
        while True:
            answer = agreed(gateway.ask("status"))
            table = association_table(answer, before, rows=max(1, console.height - _FRAME))
            live.update(Group(Text(_headline(answer), "bold"), table), refresh=True)
            before = answer
            if _q_pressed(INTERVAL):
                return


def _headline(answer: Answer) -> str:
    silent = sum(worker["state"] == "silent" for worker in answer["workers"])
    workers = f"{len(answer['workers'])} workers" + (f", {silent} of them silent" if silent else "")
    draining = "; draining" if answer["draining"] else ""
    return f"{counted(len(answer['associations']))} open; {workers}{draining}"


def association_table(answer: Answer, before: Answer | None = None, *, rows: int | None = None) -> "Table":
    """Return a table of at most `rows` associations: busiest first, then oldest. MB/s: both ways, since `before`."""
    from rich.table import Table
    from rich.text import Text

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
    """Return the bytes in both directions, or None if the worker did not answer in time."""
    if one["bytes_in"] is None or one["bytes_out"] is None:
        return None
    return int(one["bytes_in"] + one["bytes_out"])


def _rates(answer: Answer, before: Answer | None) -> dict[str, float]:
    """Return bytes per second by association id, for associations that both answers have."""
    # `time` is the gateway's clock, so a slow answer does not distort the rates; and that clock may be set back.
    if before is None or (seconds := answer["time"] - before["time"]) <= 0:
        return {}
    earlier: dict[str, Any] = {one["id"]: _moved(one) for one in before["associations"]}
    rates = {}
    for one in answer["associations"]:
        moved, moved_before = _moved(one), earlier.get(one["id"])
        if moved is not None and moved_before is not None:
            rates[one["id"]] = max(0.0, (moved - moved_before) / seconds)
    return rates


@contextmanager
def _single_keys() -> Iterator[None]:
    """Read keys one by one, without Enter and without echo. Ctrl-C still interrupts."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _q_pressed(seconds: float) -> bool:
    """Return whether q was pressed within `seconds`. Other keys are ignored; a closed input counts as q."""
    if not sys.stdin.isatty():
        time.sleep(seconds)
        return False
    end = time.monotonic() + seconds
    # os.read and not sys.stdin.read, which would take several keys into a buffer that select does not see.
    while (left := end - time.monotonic()) > 0:
        if select.select([sys.stdin], [], [], left)[0] and os.read(sys.stdin.fileno(), 1) in (b"q", b"Q", b""):
            return True
    return False
