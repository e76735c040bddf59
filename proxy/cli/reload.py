"""`dicomgate reload`."""

from proxy.cli.asking import ConfigOption, ControlOption, find_gateway
from proxy.cli.output import NO, CommandError, say
from proxy.config.quoting import printable

# The gateway loads every file, completes a TLS handshake with itself, and waits up to 30 s for its new workers.
_PATIENCE = 120.0  # seconds


def command(control: ControlOption = None, config: ConfigOption = None) -> None:
    """Make a running gateway reload its configuration. Open associations that it still allows continue.

    Exit code: 0 active, 1 the new configuration has errors and the previous one stays active, 2 usage, 3 no gateway
    answers.
    """
    answer = find_gateway(control, config).ask("reload", patience=_PATIENCE)
    if not answer.get("ok"):
        raise CommandError(printable(f"{answer.get('message')} (the previous configuration stays active)"), NO)
    say(printable(str(answer["message"])))
