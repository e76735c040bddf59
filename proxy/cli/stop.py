"""`dicomgate stop`."""

from typing import Annotated

import typer

from proxy.cli.asking import ConfigOption, ControlOption, find_gateway
from proxy.cli.output import say
from proxy.cli.waiting import order, wait_until_ended


def command(
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the gateway has ended; show the open associations.")
    ] = False,
    control: ControlOption = None,
    config: ConfigOption = None,
) -> None:
    """Stop a running gateway, as SIGTERM does. Open associations get `timeouts.drain`; a second `stop` aborts them.

    Exit code: 0 ok, 2 usage, 3 no gateway answers.
    """
    gateway = find_gateway(control, config)
    order(gateway, "stop", "stopping")
    if wait:
        wait_until_ended(gateway)
        say("the gateway has ended")
