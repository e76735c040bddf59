"""From a checked configuration to a running gateway."""

import asyncio
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from proxy.config.values import Config
from proxy.process.reload import prove
from proxy.process.supervisor import Supervisor

_CLOSE_PATIENCE = 1.0  # seconds for the loop to close, after all logs are written and all sockets closed


def run(config: Config, files: Sequence[str]) -> int:
    """Serve until the gateway is stopped, and return the exit code.

    Raises `BindError`, `TlsSetupError`, `AdminError`, `ControlError` and `StartFailed` if it cannot start, and OSError
    if the access log cannot be opened.
    """
    supervisor = Supervisor(config, files, prove(config))
    return _run_loop(supervisor.serve)


def _run_loop(main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run on uvloop, or with a warning on asyncio's slower loop if uvloop is missing."""
    try:
        factory = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        sys.stderr.write("dicomgate: uvloop is not installed: running on asyncio's own, slower event loop\n")
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        code = runner.run(main())
        # Closing the loop waits for its threads, and a thread may hang in a DNS lookup without an answer. This timer
        # ends the process then; the exit code is decided and nothing is left to write.
        patience = threading.Timer(_CLOSE_PATIENCE, os._exit, (code,))
        patience.daemon = True
        patience.start()
    # Closing the loop has restored the default actions of the signals. Ignore further signals while the interpreter
    # exits: the exit code is final.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    patience.cancel()
    return code
