"""`dicomgate drain`."""

from typing import Annotated

import typer

from proxy.cli.asking import ConfigOption, ControlOption, agreed, counted, find_gateway
from proxy.cli.output import say


def command(
    wait: Annotated[bool, typer.Option("--wait", help="Until no association is open; show which still are.")] = False,
    control: ControlOption = None,
    config: ConfigOption = None,
) -> None:
    """Have a running gateway refuse new associations (A-ASSOCIATE-RJ 2/3/1). It stays, and so does what is open.

    Exit code: 0 ok, 2 usage, 3 no gateway answers.
    """
    gateway = find_gateway(control, config)
    answer = agreed(gateway.ask("drain"))
    say(f"new associations are refused; {counted(answer['associations'])} open")
    if wait and answer["associations"]:
        from proxy.cli.waiting import wait_until_none_is_open

        wait_until_none_is_open(gateway)
        say("no association is open")
