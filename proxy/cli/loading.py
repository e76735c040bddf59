"""Loading the configuration for a verb that reads it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli.output import CommandError, note

if TYPE_CHECKING:
    from proxy.config.load import Loaded
    from proxy.config.values import Config

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", "-c", help="Default: $DICOMGATE_CONFIG, then /etc/dicomgate/config.yaml."),
]


def load_with_findings(option: str | None) -> tuple[Path, "Loaded"]:
    """The file, and what loading it gave, errors included. CommandError only where there is no file."""
    from proxy.config.load import ConfigNotFound, find_config, load

    try:
        path = find_config(option, os.environ)
    except ConfigNotFound as error:
        raise CommandError(str(error)) from None
    return path, load(path, environ=os.environ)


def load_config(option: str | None) -> "Config":
    """The configuration; where it has errors they are told, and CommandError raised."""
    _, loaded = load_with_findings(option)
    if loaded.config is None:
        for finding in loaded.findings:
            if finding.severity == "error":
                note(str(finding))
        raise CommandError("the configuration has errors; `dicomgate check` shows all findings")
    return loaded.config
