"""Reading a configuration: from a path to checked values, with every mistake found on the way.

text -> tree with positions (tree) -> includes, environment, tenant_defaults (assemble) -> models (validate) ->
values (compile) -> meaning (checks). A stage that finds errors does not keep the next from finding more where it can.
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
from proxy.config.findings import Finding, Report
from proxy.config.material import Material
from proxy.config.openssl import openssl_problem
from proxy.config.unbuilt import check_unbuilt
from proxy.config.validate import validate
from proxy.config.values import Config

DEFAULT_PATH = "/etc/dicomgate/config.yaml"


class ConfigNotFound(Exception):
    """There is no configuration file; the text says what to type."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading gave. `config` is None if there is any error.

    `files`: every file read, or looked for, and the patterns of `include`.
    `complete`: every stage has looked; not so where what is written cannot be read as values of the models.
    """

    config: Config | None
    findings: list[Finding]
    files: list[str]
    complete: bool


def find_config(option: str | None, environ: Mapping[str, str]) -> Path:
    """The configuration file: `--config`, $DICOMGATE_CONFIG, /etc/dicomgate/config.yaml. Raises ConfigNotFound."""
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
    """What keeps `path` from being read as a configuration file, and what to type instead; "" if nothing does."""
    try:
        if path.is_file():
            return ""
        if path.is_dir():
            return f"that is a folder. Name the file in it, e.g. --config {path / 'config.yaml'}"
        if path.exists():
            return "that is no regular file. Save the configuration in one, and name it with --config FILE."
    except PermissionError:
        return f"permission denied: a folder above it is closed to uid {os.geteuid()}, as which dicomgate runs"
    except (OSError, ValueError):
        pass  # too long, or no path at all
    return (
        "there is no such file. Name one with --config FILE or $DICOMGATE_CONFIG, "
        "or write one with `dicomgate init --pacs HOST:PORT --aet TITLE`."
    )


def load(path: Path, *, environ: Mapping[str, str], now: datetime.datetime | None = None) -> Loaded:
    """Load and check a configuration. Mistakes of whoever wrote it are findings, never exceptions."""
    report, files = Report(), Files()
    config = _load(str(path), environ, files, report, now or datetime.datetime.now(datetime.UTC))
    return Loaded(None if report.has_errors else config, report.findings, files.paths, config is not None)


def _load(path: str, environ: Mapping[str, str], files: Files, report: Report, now: datetime.datetime) -> Config | None:
    if (problem := openssl_problem()) is not None:
        report.add("E312", None, "", problem)
        return None
    root = assemble(path, environ, files, report)
    if root is None:
        return None
    root = without_defaults(root)
    configuration = validate(root, report)
    if configuration is None:
        return None
    check_unbuilt(configuration, root, report)
    material = Material(root, files, environ, report, now)
    compiled = compile_configuration(path, configuration, root, material)
    check_meaning(configuration, compiled, material)
    return compiled.config
