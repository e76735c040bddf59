"""Imports point down (docs/architecture.md), pure layers stay pure, a worker starts without the heavy libraries."""

import ast
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stopwatch import least

PROXY = Path(__file__).parents[2] / "proxy"
#: A module may import its own layer and any to the left.
LAYERS = (
    "pdu",
    "dimse",
    "policy",
    "x509",
    "config",
    "tls",
    "pki",
    "upstream",
    "shared",
    "observe",
    "net",
    "process",
    "orthanc",
    "explain",
    "cli",
)
#: May import anything; only `cli` may import it.
DEMO = "demo"
PURE = ("pdu", "dimse", "policy")
IMPURE = frozenset({"asyncio", "ssl", "socket", "logging", "time", "os"})
HEAVY = ("pydantic", "yaml", "aiohttp", "pydicom", "typer", "rich", "prometheus_client", "pynetdicom", "numpy")
#: What a worker consists of; `proxy.net.worker` imports most of it.
WORKER_SIDE = "proxy.net.worker, proxy.config.values, proxy.policy, proxy.tls, proxy.observe.log"
START_CPU_SECONDS = 0.2

MODULES = sorted(PROXY.rglob("*.py"))


def layer(module: str) -> str | None:
    """The layer of a dotted name, None for what is not of this project."""
    parts = module.split(".")
    return parts[1] if parts[0] == "proxy" and len(parts) > 1 else None


@functools.cache
def imports(path: Path) -> tuple[tuple[int, str], ...]:
    """Line and dotted name of every import of a file, those inside functions too."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    package = ["proxy", *path.relative_to(PROXY).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *(node.module.split(".") if node.module else [])])
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def test_every_folder_is_a_known_layer() -> None:
    folders = {path.relative_to(PROXY).parts[0] for path in MODULES if path.parent != PROXY}
    assert folders <= {*LAYERS, DEMO}


def test_imports_point_down() -> None:
    upward = []
    for path in MODULES:
        own = path.relative_to(PROXY).parts[0]
        if own == DEMO or path.parent == PROXY:
            continue
        allowed = {*LAYERS[: LAYERS.index(own) + 1], *([DEMO] if own == "cli" else [])}
        for line, module in imports(path):
            found = layer(module)
            if found in (*LAYERS, DEMO) and found not in allowed:
                upward.append(f"proxy/{path.relative_to(PROXY)}:{line}: {own} imports {module}")
    assert not upward, "\n".join(upward)


def test_the_pure_layers_import_nothing_that_acts() -> None:
    impure = [
        f"proxy/{path.relative_to(PROXY)}:{line}: {module}"
        for path in MODULES
        if path.relative_to(PROXY).parts[0] in PURE
        for line, module in imports(path)
        if module.split(".")[0] in IMPURE
    ]
    assert not impure, "\n".join(impure)


def in_a_fresh_process(code: str, **environment: str) -> str:
    """What the code prints in a Python that has imported nothing yet."""
    command, environment = [sys.executable, "-c", code], {**os.environ, **environment}
    run = subprocess.run(command, cwd=PROXY.parent, env=environment, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_worker_imports_no_heavy_library() -> None:
    loaded = in_a_fresh_process(f"import sys, {WORKER_SIDE}; print(*sys.modules)").split()
    assert {name.split(".")[0] for name in loaded}.isdisjoint(HEAVY)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in PROXY.glob("*/__init__.py")))
def test_the_face_of_a_folder_is_light(name: str) -> None:
    loaded = in_a_fresh_process(f"import sys, proxy.{name}; print(*sys.modules)").split()
    assert {module.split(".")[0] for module in loaded}.isdisjoint(HEAVY)


def test_a_worker_starts_quickly(tmp_path: Path) -> None:
    # As it is installed: compiled. The first attempt writes what the others read.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    code = "import time; start = time.process_time(); import proxy.net.worker; print(time.process_time() - start)"
    assert least(lambda: float(in_a_fresh_process(code, **compiled)), START_CPU_SECONDS) < START_CPU_SECONDS
