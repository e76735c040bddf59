"""Orders that take a gateway some time (`drain`, `stop`), and waiting until they are carried out.

While it waits, the command shows the open associations on standard error: a live table on a terminal, else lines.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from proxy.cli.asking import Answer, Gateway, agreed, counted
from proxy.cli.output import CommandError, note, say
from proxy.config.quoting import printable

INTERVAL = 1.0  # seconds between two questions
_FRAME = 4  # lines of the terminal that the table does not use


def order(gateway: Gateway, verb: str, effect: str) -> int:
    """Give an order, print its effect, and return how many associations are open. Raises CommandError."""
    still_open = int(agreed(gateway.ask(verb))["associations"])
    say(f"{effect}; {counted(still_open)} open")
    return still_open


def wait_until_idle(gateway: Gateway) -> None:
    """Wait until no association is open or being set up. Raises CommandError, exit code 3, if no answer comes."""
    with _display() as show:
        while not _idle(answer := gateway.ask("status")):
            show(answer)
            time.sleep(INTERVAL)


def _idle(answer: Answer) -> bool:
    # A request accepted before the drain may still be dialling: it is no open association yet, but its worker is busy.
    return not answer["associations"] and all(worker.get("idle", True) for worker in answer["workers"])


def wait_until_ended(gateway: Gateway) -> None:
    """Wait until nothing listens on the control socket: the gateway closes it last."""
    with _display() as show:
        while gateway.listens():
            with suppress(CommandError):  # The gateway is busy or has just ended: `listens` decides.
                show(gateway.ask("status"))
            time.sleep(INTERVAL)


@contextmanager
def _display() -> Iterator[Callable[[Answer], None]]:
    sys.stdout.flush()  # The wait may be long: what was printed before it must be readable now.
    if not sys.stderr.isatty():
        yield _ChangedLines().show
        return
    from rich.console import Console
    from rich.live import Live

    from proxy.cli.top import association_table

    console = Console(stderr=True)
    before: Answer | None = None
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show(answer: Answer) -> None:
            nonlocal before
            live.update(association_table(answer, before, rows=max(1, console.height - _FRAME)), refresh=True)
            before = answer

        yield show


class _ChangedLines:
    """Prints a line each time the open associations have changed."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, answer: Answer) -> None:
        tenants = Counter(str(one["tenant"]) for one in answer["associations"])
        by_tenant = ", ".join(f"{tenant} {count}" for tenant, count in sorted(tenants.items()))
        line = f"{counted(tenants.total())} open" + (f": {by_tenant}" if by_tenant else "")
        if line != self._last:
            note(printable(line))
            self._last = line
