"""`dicomgate disconnect`."""

from typing import Annotated

import typer

from proxy.cli.asking import ConfigOption, ControlOption, counted, find_gateway
from proxy.cli.output import NO, CommandError, say
from proxy.config.quoting import printable


def command(
    id: Annotated[str | None, typer.Option("--id", help="One association, by its id in `top`.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="All associations of a tenant.")] = None,
    peer: Annotated[str | None, typer.Option("--peer", help="Only associations of this peer of the tenant.")] = None,
    control: ControlOption = None,
    config: ConfigOption = None,
) -> None:
    """End open associations with an A-ABORT. Their senders may connect again at once.

    Exit code: 0 ended, 1 no such association is open, 2 usage, 3 no gateway answers.
    """
    if bool(id) == bool(tenant) or (peer is not None and not (tenant and peer)):
        raise CommandError("which associations? Give --id ID, or --tenant NAME, or --tenant NAME --peer NAME")
    chosen = {name: value for name, value in (("id", id), ("tenant", tenant), ("peer", peer)) if value}
    ended = find_gateway(control, config).ask("disconnect", chosen)["associations"]
    if not ended:
        named = " ".join(f"--{name} {printable(value)}" for name, value in chosen.items())
        raise CommandError(f"{named}: no such association is open; `dicomgate top` shows the open ones", NO)
    say(f"{counted(ended)} ended")
