"""Waiting for a gateway. What is still open is shown on standard error: a live table on a terminal, else lines."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from proxy.cli.asking import Answer, Gateway, counted
from proxy.cli.output import CommandError, note, printable

INTERVAL = 1.0  # seconds between two looks


def wait_until_none_is_open(gateway: Gateway) -> None:
    """Until no association is open or on the way. Raises CommandError, exit code 3, if the gateway stops answering."""
    with _display() as show:
        while not _idle(answer := gateway.ask("status")):
            show(answer)
            time.sleep(INTERVAL)


def _idle(answer: Answer) -> bool:
    # A worker is idle when what it had decided before the drain is through, what was still being dialled included.
    return not answer["associations"] and all(worker.get("idle", True) for worker in answer["workers"])


def wait_until_it_is_gone(gateway: Gateway) -> None:
    """Until nobody listens on the control socket any more."""
    with _display() as show:
        while gateway.listens():
            with suppress(CommandError):  # busy, or just gone: the next look tells
                show(gateway.ask("status"))
            time.sleep(INTERVAL)


@contextmanager
def _display() -> Iterator[Callable[[Answer], None]]:
    sys.stdout.flush()  # the wait may be long, and what was said before it is to be read before it
    if not sys.stderr.isatty():
        yield _Lines().show
        return
    from rich.console import Console
    from rich.live import Live

    from proxy.cli.associations import association_table

    console = Console(stderr=True)
    before: Answer | None = None
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show(answer: Answer) -> None:
            nonlocal before
            live.update(association_table(answer, before, rows=max(1, console.height - 4)), refresh=True)
            before = answer

        yield show


class _Lines:
    """A line whenever what is open has changed."""

    def __init__(self) -> None:
        self._said = ""

    def show(self, answer: Answer) -> None:
        tenants = Counter(str(one["tenant"]) for one in answer["associations"])
        by_tenant = ", ".join(f"{tenant} {count}" for tenant, count in sorted(tenants.items()))
        line = f"{counted(tenants.total())} open" + (f": {by_tenant}" if by_tenant else "")
        if line != self._said:
            note(printable(line))
            self._said = line
