"""`dicomgate reload`."""

from proxy.cli.asking import ConfigOption, ControlOption, find_gateway
from proxy.cli.output import NO, CommandError, printable, say

# The gateway loads every file, shakes hands with itself and waits up to 30 s for its new workers.
_PATIENCE = 120.0  # seconds


def command(control: ControlOption = None, config: ConfigOption = None) -> None:
    """Have a running gateway load its configuration again. Open associations that it still allows go on.

    Exit code: 0 it serves, 1 it has mistakes and the last good one serves on, 2 usage, 3 no gateway answers.
    """
    answer = find_gateway(control, config).ask("reload", patience=_PATIENCE)
    if not answer.get("ok"):
        raise CommandError(printable(f"{answer.get('message')} (nothing has changed in what is served)"), NO)
    say(printable(str(answer["message"])))
