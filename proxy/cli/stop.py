"""`dicomgate stop`."""

from typing import Annotated

import typer

from proxy.cli.asking import ConfigOption, ControlOption, agreed, counted, find_gateway
from proxy.cli.output import say


def command(
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended; show which associations are open.")] = False,
    control: ControlOption = None,
    config: ConfigOption = None,
) -> None:
    """End a running gateway, as SIGTERM does: open associations have `timeouts.drain` to end. Twice: at once.

    Exit code: 0 ok, 2 usage, 3 no gateway answers.
    """
    gateway = find_gateway(control, config)
    answer = agreed(gateway.ask("stop"))
    say(f"stopping; {counted(answer['associations'])} open")
    if wait:
        from proxy.cli.waiting import wait_until_it_is_gone

        wait_until_it_is_gone(gateway)
        say("the gateway has ended")
