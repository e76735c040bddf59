"""Python code that runs first in the processes of a gateway, and puts a fault in them."""

import textwrap
from pathlib import Path

from tests.support.gateway import REPOSITORY

_WORKERS_ONLY = 'if "proxy.process.serving" in sys.orig_argv:\n'


def sabotage(folder: Path, code: str, *, supervisor: bool = False) -> tuple[str, ...]:
    """A launcher; `code` runs at the start of each worker, with `supervisor` also there (see `site` of Python)."""
    folder.mkdir(exist_ok=True)
    body = textwrap.dedent(code)
    text = "import os, sys\n" + (body if supervisor else _WORKERS_ONLY + textwrap.indent(body, "    "))
    (folder / "sitecustomize.py").write_text(text)
    return ("env", f"PYTHONPATH={folder}:{REPOSITORY}")
