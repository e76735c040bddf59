"""The `dicomgate` command: finds the verb and runs it. Each verb is one file of this folder.

A verb's module has either `command`, a function with typer's annotations, or `app`, a typer application with verbs of
its own. Only the module of the typed verb is imported, and a verb imports heavy libraries inside the functions that use
them. As a result `dicomgate version` takes less than 0.2 s of CPU time.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

VERBS = (
    "run", "check", "explain", "echo", "init", "pki", "import", "schema",
    "reload", "drain", "stop", "disconnect", "status", "top", "demo", "version",
)  # fmt: skip
_MODULES = {"import": "importing"}  # `import` is a keyword of Python and names no module


def module_of(verb: str) -> ModuleType:
    """Return the module of a verb."""
    return importlib.import_module(f"proxy.cli.{_MODULES.get(verb, verb)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Exit codes: 0 yes or ok, 1 no or findings, 2 usage or configuration, 3 peer not reachable."""
    _open_standard_streams()
    try:
        code = _run(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except OSError as error:  # Verbs handle errors of their own files, so this one comes from standard output.
        # At exit the interpreter flushes standard output again. On the broken one that would fail too: it would print
        # a traceback and set exit code 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            return 1  # the reader closed the pipe early, such as `head`
        sys.stderr.write(f"dicomgate: {error.filename or 'standard output'}: {error.strerror}\n")
        return 2
    return code


def _open_standard_streams() -> None:
    """Open closed standard streams on /dev/null."""
    # Without this the next file or socket that is opened gets descriptor 1 or 2, and receives what we print.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - open as long as the process lives
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _run(arguments: list[str]) -> int:
    if arguments in (["version"], ["--version"]):  # without typer: its import takes longer than the rest together
        importlib.import_module("proxy.cli.version").command()
        return 0

    from proxy.cli.output import CommandError, complain

    try:
        _application(arguments)(arguments, prog_name="dicomgate")
    except CommandError as error:
        complain(str(error))
        return error.exit_code
    except SystemExit as end:  # typer ends this way, with code 2 after a usage error
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _application(arguments: list[str]) -> "typer.Typer":
    """Return the typer application: with the typed verb alone, or with all verbs for the help."""
    import typer

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

    @app.callback()
    def dicomgate() -> None:
        """A DICOM TLS gateway: decides on the A-ASSOCIATE-RQ, forwards plain DICOM to the PACS."""

    for verb in arguments[:1] if arguments and arguments[0] in VERBS else VERBS:
        module = module_of(verb)
        if hasattr(module, "app"):
            app.add_typer(module.app, name=verb)
        else:
            app.command(verb)(module.command)
    return app


if __name__ == "__main__":
    sys.exit(main())
