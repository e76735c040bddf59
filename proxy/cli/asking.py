"""Asking a running gateway over its control socket: where the socket is, and what to say when nobody answers.

Of the configuration the key `control` alone is read: a gateway must be stoppable whatever has been written there since
it started.
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from proxy.cli.output import NO, UNREACHABLE, CommandError, note, printable
from proxy.config.values import DEFAULT_CONTROL
from proxy.process.control import ControlError, ask

PATIENCE = 10.0  # seconds for an answer; workers are given one by the gateway, the rest is for a machine under load

Answer = Mapping[str, Any]

ControlOption = Annotated[
    str | None,
    typer.Option(
        "--control", help="The gateway's control socket. Default: $DICOMGATE_CONTROL, then what --config says."
    ),
]
ConfigOption = Annotated[
    str | None,
    typer.Option("--config", "-c", help=f"Its configuration. Default: $DICOMGATE_CONFIG; else {DEFAULT_CONTROL}."),
]


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway, known by the path of its control socket."""

    path: str

    def ask(self, verb: str, arguments: Answer | None = None, patience: float = PATIENCE) -> Answer:
        """Its answer. Raises CommandError, exit code 3, where there is none."""
        try:
            return asyncio.run(ask(self.path, verb, arguments or {}, patience))
        except ControlError as error:
            raise CommandError(
                f"{error} Another one is named with --control PATH or --config FILE.", UNREACHABLE
            ) from None
        except ValueError:
            raise CommandError(f"{self.path}: what answers there is no dicomgate", UNREACHABLE) from None

    def listens(self) -> bool:
        """Whether the socket is there and somebody behind it, however busy."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(PATIENCE)
            try:
                sock.connect(self.path)
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except TimeoutError:
                pass
        return True


def find_gateway(control: str | None, config: str | None) -> Gateway:
    """By --control, $DICOMGATE_CONTROL, --config, $DICOMGATE_CONFIG, or where it is by default."""
    if control is None and config is None:
        control, config = os.environ.get("DICOMGATE_CONTROL"), os.environ.get("DICOMGATE_CONFIG")
    if control:
        return Gateway(control)
    return Gateway(_configured(config) if config else DEFAULT_CONTROL)


def _configured(path: str) -> str:
    from proxy.config.assemble import assemble
    from proxy.config.files import Files
    from proxy.config.findings import Report
    from proxy.config.tree import Text

    report = Report()
    root = assemble(path, os.environ, Files(), report)
    if root is None:
        for finding in report.findings:
            note(str(finding))
        raise CommandError(f"{path} cannot be read: name the gateway's socket with --control PATH")
    value = root.get("control")
    if value is None:
        return DEFAULT_CONTROL
    if not isinstance(value, Text):
        raise CommandError(f"{value.mark}: control: not a path; name the gateway's socket with --control PATH")
    if value.is_null:
        raise CommandError(f"{value.mark}: control: null turns the control socket off; use signals, as SIGTERM")
    return os.path.join(os.path.dirname(value.mark.file), value)


def agreed(answer: Answer) -> Answer:
    """The answer, if it is a yes. Raises CommandError, exit code 1, with the gateway's reason if it is a no."""
    if not answer.get("ok"):
        raise CommandError(printable(str(answer.get("message"))), NO)
    return answer


def counted(number: int) -> str:
    """So many associations, in words."""
    return f"{number or 'no'} association{'' if number == 1 else 's'}"
