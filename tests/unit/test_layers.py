"""Imports point down and in no circle (docs/architecture.md), pure layers stay pure, a worker starts quickly."""

import ast
import functools
import graphlib
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
#: Inside a folder, from bottom to top: a file may import files of lower floors only.
FLOORS = {
    "net": (
        "association_end operations poller records servers tcp",
        "sending station",
        "gate leg",
        "flow linger refused",
        "accounting early relay_ending stage_runner stages",
        "connecting proxied recheck relay",
        "loops traffic",
        "dial established",
        "connection",
        "association",
        "worker",
    ),
    "process": (
        "announcing channel control health logs messages notify priority sockets watch",
        "channel_journal worker_process",
        "generation serving totals",
        "generations reload status",
        "requests",
        "supervisor",
        "start",
    ),
}
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


def name_of(path: Path) -> str:
    """The dotted name of a file; that of its folder for an `__init__.py`."""
    parts = path.relative_to(PROXY.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def arrows() -> dict[str, set[str]]:
    """Which files each file imports, by dotted names. `TYPE_CHECKING` imports and those inside functions count."""
    names = {name_of(path) for path in MODULES}

    def file_of(imported: str) -> str:
        """The file that holds what is imported: a module, or the module or folder that defines the name."""
        return imported if imported in names else imported.rpartition(".")[0]

    found = {name_of(path): {file_of(module) for _, module in imports(path)} for path in MODULES}
    # `from proxy import x`: the folder of all folders is no room of its own.
    return {name: {other for other in others & names if other not in (name, "proxy")} for name, others in found.items()}


def circle(graph: dict[str, set[str]]) -> str:
    """One circle among the arrows, as `a > b > a`; empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return " > ".join(reversed(error.args[1]))
    return ""


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


def test_no_circle_between_files() -> None:
    """Files of a circle cannot be understood, tested or moved one by one; a late import only hides it."""
    assert circle(arrows()) == ""


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) in ("b > c > b", "c > b > c")


def test_nothing_but_the_worker_process_knows_the_worker() -> None:
    """An association uses a `Station`: what it is given, it cannot call back into."""
    assert [name for name, imported in arrows().items() if "proxy.net.worker" in imported] == ["proxy.process.serving"]


@pytest.mark.parametrize("folder", FLOORS)
def test_imports_inside_a_folder_point_down_its_floors(folder: str) -> None:
    floor = {f"proxy.{folder}.{name}": number for number, names in enumerate(FLOORS[folder]) for name in names.split()}
    files = {name for name in arrows() if name.startswith(f"proxy.{folder}.")}
    assert files == floor.keys()
    upward = [
        f"{name} imports {other}"
        for name in sorted(files)
        for other in sorted(arrows()[name] & files)
        if floor[other] >= floor[name]
    ]
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
