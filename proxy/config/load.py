"""Loads a configuration: from a path to checked values and all findings.

text -> tree with positions (tree) -> includes, environment, tenant_defaults (assemble) -> models (validate) ->
values (compile) -> meaning (checks). After a stage with errors the next stages still run if they can, so that one
`check` shows as many findings as possible.
"""

import datetime
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proxy.config.assemble import assemble, without_defaults
from proxy.config.checks import check_meaning
from proxy.config.compile import compile_configuration
from proxy.config.files import Files
from proxy.config.findings import Finding, Findings
from proxy.config.material import Material
from proxy.config.openssl import openssl_problem
from proxy.config.unbuilt import check_unbuilt
from proxy.config.validate import validate
from proxy.config.values import Config

DEFAULT_PATH = "/etc/dicomgate/config.yaml"


class ConfigNotFound(Exception):
    """There is no configuration file. The text for the user names the path and the next command."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of loading. `config` is None if any finding is an error.

    `files`: the paths and `include` patterns that an automatic reload watches (`Files.paths`).
    `complete`: all stages have run. False if a value cannot be read: then names and files have not been checked.
    """

    config: Config | None
    findings: list[Finding]
    files: list[str]
    complete: bool


def find_config(option: str | None, environ: Mapping[str, str]) -> Path:
    """Return the path from `--config`, $DICOMGATE_CONFIG or DEFAULT_PATH, in that order. Raises ConfigNotFound."""
    if option is not None:
        named, path = f"--config {option}", Path(option)
    elif environ.get("DICOMGATE_CONFIG"):
        named, path = f"$DICOMGATE_CONFIG ({environ['DICOMGATE_CONFIG']})", Path(environ["DICOMGATE_CONFIG"])
    else:
        named, path = DEFAULT_PATH, Path(DEFAULT_PATH)
    if problem := _why_no_file(path):
        raise ConfigNotFound(f"{named}: {problem}")
    return path


def _why_no_file(path: Path) -> str:
    """Return why `path` cannot be read as a configuration file, with what to do; "" if it can."""
    try:
        if path.is_file():
            return ""
        if path.is_dir():
            return f"this is a folder. Name a file in it, e.g. --config {path / 'config.yaml'}"
        if path.exists():
            return "this is not a regular file. Save the configuration in one, and name it with --config FILE."
    except PermissionError:
        return f"permission denied: dicomgate runs as uid {os.geteuid()}, which may not enter a folder above the file"
    except (OSError, ValueError):
        pass  # too long, a loop of links, or a NUL in it: no file can have this path
    return (
        "there is no such file. Name one with --config FILE or $DICOMGATE_CONFIG, "
        "or write one with `dicomgate init --pacs HOST:PORT --aet TITLE`."
    )


def load(path: Path, *, environ: Mapping[str, str], now: datetime.datetime | None = None) -> Loaded:
    """Load and check a configuration. Errors in it are findings, never exceptions."""
    report, files = Findings(), Files()
    config = _load(str(path), environ, files, report, now or datetime.datetime.now(datetime.UTC))
    return Loaded(None if report.has_errors else config, report.in_order, files.paths, config is not None)


def _load(
    path: str, environ: Mapping[str, str], files: Files, report: Findings, now: datetime.datetime
) -> Config | None:
    if (problem := openssl_problem()) is not None:  # first: each certificate would fail with an error of its own
        report.add("E312", None, "", problem)
        return None
    root = assemble(path, environ, files, report)
    if root is None:
        return None
    root = without_defaults(root)
    configuration = validate(root, report)
    if configuration is None:  # pydantic gives no model if one value is wrong, so nothing is left to compile
        return None
    check_unbuilt(configuration, root, report)
    material = Material(root, files, environ, report, now)
    compiled = compile_configuration(path, configuration, root, material)
    check_meaning(configuration, compiled, material)
    return compiled.config
