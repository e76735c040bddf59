"""`dicomgate run`."""

import os

import typer

from proxy.cli.loading import ConfigOption
from proxy.cli.output import CommandError, note


def command(config: ConfigOption = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    # Python's default TLS contexts write session keys to the file that this variable names. Importing aiohttp creates
    # such contexts, so the variable must go before the imports below.
    os.environ.pop("SSLKEYLOGFILE", None)

    from proxy.config.load import ConfigNotFound, find_config, load

    try:
        loaded = load(find_config(config, os.environ), environ=os.environ)
    except ConfigNotFound as error:
        raise CommandError(str(error)) from None
    for finding in loaded.findings:
        note(str(finding))
    if loaded.config is None:
        raise CommandError("the configuration has errors, nothing was started; `dicomgate check` shows all findings")

    # Import after `load`: if OpenSSL does not work, aiohttp fails to import, and `load` reports it with a clear error.
    from proxy.observe.admin import AdminError
    from proxy.process.control import ControlError
    from proxy.process.generation import StartFailed
    from proxy.process.sockets import BindError
    from proxy.process.start import run
    from proxy.tls.errors import TlsSetupError

    try:
        code = run(loaded.config, loaded.files)
    except (BindError, TlsSetupError, AdminError, ControlError, StartFailed) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        place = "access_log.path: " if error.filename == loaded.config.log.access_path else ""
        raise CommandError(f"{place}{error.filename or 'the log'}: {error.strerror}") from None
    if code:
        raise typer.Exit(code)
