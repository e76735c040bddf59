"""Loading the configuration, for the verbs that read it."""

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
    typer.Option("--config", "-c", help="Configuration. Default: $DICOMGATE_CONFIG, then /etc/dicomgate/config.yaml."),
]


def load_with_findings(option: str | None) -> tuple[Path, "Loaded"]:
    """Return the file and the result of loading it, errors included. Raises CommandError if there is no file."""
    from proxy.config.load import ConfigNotFound, find_config, load

    try:
        path = find_config(option, os.environ)
    except ConfigNotFound as error:
        raise CommandError(str(error)) from None
    return path, load(path, environ=os.environ)


def load_config(option: str | None) -> "Config":
    """Return the configuration. Prints its errors and raises CommandError if it has any."""
    _, loaded = load_with_findings(option)
    if loaded.config is None:
        for finding in loaded.findings:
            if finding.severity == "error":
                note(str(finding))
        raise CommandError("the configuration has errors; `dicomgate check` shows all findings")
    return loaded.config
