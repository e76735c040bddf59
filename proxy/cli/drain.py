"""`dicomgate drain`."""

from typing import Annotated

import typer

from proxy.cli.asking import ConfigOption, ControlOption, find_gateway
from proxy.cli.output import say
from proxy.cli.waiting import order, wait_until_idle


def command(
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until no association is open; show the open ones.")
    ] = False,
    control: ControlOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a running gateway refuse new associations (A-ASSOCIATE-RJ 2/3/1). Open associations continue.

    Exit code: 0 ok, 2 usage, 3 no gateway answers.
    """
    gateway = find_gateway(control, config)
    still_open = order(gateway, "drain", "new associations are refused")
    if wait and still_open:
        wait_until_idle(gateway)
        say("no association is open")
