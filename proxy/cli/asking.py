"""Asking a running gateway over its control socket: finding the socket, and the error if no gateway answers.

Of the configuration only the key `control` is read: an operator must be able to stop a gateway even if its
configuration has errors by now.
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from proxy.cli.output import NO, UNREACHABLE, CommandError, note
from proxy.config.quoting import printable
from proxy.config.values import DEFAULT_CONTROL
from proxy.process.control import ControlError, ask

PATIENCE = 10.0  # seconds for an answer: the gateway asks its workers first, on a machine that may be loaded

Answer = Mapping[str, Any]

ControlOption = Annotated[
    str | None,
    typer.Option(
        "--control", help="Control socket of the gateway. Default: $DICOMGATE_CONTROL, then `control` of --config."
    ),
]
ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        help=f"Configuration with the key `control`. Default: $DICOMGATE_CONFIG; without it {DEFAULT_CONTROL}.",
    ),
]


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway, reached through its control socket."""

    path: str

    def ask(self, verb: str, arguments: Answer | None = None, patience: float = PATIENCE) -> Answer:
        """Return the answer to a verb. `patience`: seconds. Raises CommandError, exit code 3, if no answer comes."""
        try:
            return asyncio.run(ask(self.path, verb, arguments or {}, patience))
        except ControlError as error:
            raise CommandError(
                f"{error} Name another gateway with --control PATH or --config FILE.", UNREACHABLE
            ) from None
        except ValueError:
            raise CommandError(f"{self.path}: the program that answers is not dicomgate", UNREACHABLE) from None

    def listens(self) -> bool:
        """Return whether a process accepts connections on the socket, however busy it is."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(PATIENCE)
            try:
                sock.connect(self.path)
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except TimeoutError:  # the backlog of the socket is full: the process exists and is busy
                pass
        return True


def find_gateway(control: str | None, config: str | None) -> Gateway:
    """Find the gateway by --control, --config, $DICOMGATE_CONTROL, $DICOMGATE_CONFIG, then the default path."""
    if control is None and config is None:
        control, config = os.environ.get("DICOMGATE_CONTROL"), os.environ.get("DICOMGATE_CONFIG")
    if control:
        return Gateway(control)
    return Gateway(_configured_socket(config) if config else DEFAULT_CONTROL)


def _configured_socket(path: str) -> str:
    """Return the control socket that a configuration names. Raises CommandError."""
    from proxy.config.assemble import assemble
    from proxy.config.files import Files
    from proxy.config.findings import Findings
    from proxy.config.tree import Text

    report = Findings()
    root = assemble(path, os.environ, Files(), report)
    if root is None:
        for finding in report.in_order:
            note(str(finding))
        raise CommandError(f"{path} cannot be read: name the control socket with --control PATH")
    value = root.get("control")
    if value is None:
        return DEFAULT_CONTROL
    if not isinstance(value, Text):
        raise CommandError(f"{value.mark}: control: not a path; name the control socket with --control PATH")
    if value.is_null:
        raise CommandError(f"{value.mark}: control: null turns the control socket off; use signals, such as SIGTERM")
    return os.path.join(os.path.dirname(value.mark.file), value)


def agreed(answer: Answer) -> Answer:
    """Return the answer if the gateway agreed. Otherwise raise CommandError with its message, exit code 1."""
    if not answer.get("ok"):
        raise CommandError(printable(str(answer.get("message"))), NO)
    return answer


def counted(number: int) -> str:
    """Return `3 associations`, `1 association` or `no associations`."""
    return f"{number or 'no'} association{'' if number == 1 else 's'}"
