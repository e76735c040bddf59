"""`dicomgate top`."""

import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from proxy.cli.asking import Answer, ConfigOption, ControlOption, Gateway, agreed, counted, find_gateway

INTERVAL = 1.0  # seconds between two looks
_WIDTH_OF_A_FILE = 200  # columns, where no terminal says how many there are
_FRAME = 4  # lines above and below the rows


def command(
    once: Annotated[bool, typer.Option("--once", help="Print one table, of what flowed in a second.")] = False,
    control: ControlOption = None,
    config: ConfigOption = None,
) -> None:
    """Show the open associations of a running gateway, anew every second. q or Ctrl-C ends it.

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

    from proxy.cli.associations import association_table

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

    from proxy.cli.associations import association_table

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


@contextmanager
def _single_keys() -> Iterator[None]:
    """Keys arrive one by one, without Enter and without being shown; Ctrl-C stays what it is."""
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
    """Wait so long for the key; others are ignored."""
    if not sys.stdin.isatty():
        time.sleep(seconds)
        return False
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([sys.stdin], [], [], left)[0] and os.read(sys.stdin.fileno(), 1) in (b"q", b"Q", b""):
            return True
    return False
