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

_CLOSE_PATIENCE = 1.0  # seconds, when all has been said and closed


def run(config: Config, files: Sequence[str]) -> int:
    """Serve until told to stop; the exit code. Raises what keeps it from starting.

    `BindError`, `TlsSetupError`, `AdminError`, `ControlError`, `StartFailed`, and OSError for the access log.
    """
    supervisor = Supervisor(config, files, prove(config))
    return _run_loop(supervisor.serve)


def _run_loop(main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run on uvloop; on asyncio's own loop where uvloop is missing, which is slower and said."""
    try:
        factory = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        sys.stderr.write("dicomgate: uvloop is not installed: running on asyncio's own, slower event loop\n")
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        code = runner.run(main())
        # A look-up that a name service does not answer holds a thread, for which the closing loop would wait.
        patience = threading.Timer(_CLOSE_PATIENCE, os._exit, (code,))
        patience.daemon = True
        patience.start()
    # The loop gave the signals back, and the interpreter takes its time to end: the answer stands, whoever asks again.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    patience.cancel()
    return code
