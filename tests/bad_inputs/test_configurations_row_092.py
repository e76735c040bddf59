"""Row 92: files that are no configuration, or far too large: nothing starts, and a running gateway keeps its own."""

import itertools
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.attempts import echo_once
from tests.support.client import client_context
from tests.support.gateway import REPOSITORY, Gateway
from tests.support.pacs import Pacs, mirror
from tests.support.processes import clean_environment
from tests.support.site import Site, port_of
from tests.support.steering import reload, write_to

AT_ONCE = 10.0  # seconds, on a machine that is shared with much else
ADDRESS_SPACE = 2 << 30  # bytes; each of the bombs would take far more


def no_peers(path: Path) -> None:
    path.write_text(path.read_text().replace('"peers"', '"pears"'))


def empty_peers(path: Path) -> None:
    head, _, tail = path.read_text().partition('"peers": [')
    path.write_text(f'{head}"peers": []{tail.partition("]")[2].partition("]")[2]}')


def missing(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    """A FIFO: opening it blocks until there is a writer."""
    path.unlink()
    os.mkfifo(path)


def hundred_megabytes(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(100_000_000)


def billion_laughs(path: Path) -> None:
    names = "abcdefghij"
    lines = ["a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in itertools.pairwise(names)]
    path.write_text("\n".join(lines))


def deep(path: Path) -> None:
    path.write_text("version: " + "[" * 1_000_000)


def key_twice(path: Path) -> None:
    path.write_text(path.read_text().replace('"version": 1,', '"version": 1, "version": 1,'))


def binary(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 100)


FAULTS: dict[Callable[[Path], None], str] = {
    no_peers: "did you mean peers?",
    empty_peers: "the list is empty",
    missing: "no such file",
    folder: "folder",
    pipe: "not a regular file",
    hundred_megabytes: "larger than",
    billion_laughs: "anchor",
    deep: "config.json:1",
    key_twice: "twice",
    binary: "config.json",
}


def verb(name: str, path: Path) -> tuple[int, str]:
    """Exit code and words of a verb, which may not take more than ADDRESS_SPACE and AT_ONCE."""
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "proxy.cli", name, "--config", path],
        env=clean_environment({"PYTHONPATH": str(REPOSITORY)}),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert time.monotonic() - began < AT_ONCE
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_row_092_nothing_starts(fault: Callable[[Path], None], site: Site, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    config = site.one_tenant(4242)
    write_to(path, config)
    fault(path)
    for name in ("run", "check"):
        code, said = verb(name, path)
        assert code == 2 and FAULTS[fault] in said and "Traceback" not in said, said[-2000:]
        assert len(said) < 20_000


def test_row_092_what_runs_keeps_what_it_has(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    with Pacs(mirror) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port, control=str(tmp_path / "control.sock")))
        context, memory = client_context(), gateway.rss_kib()
        write_to(gateway.path, gateway.config)  # as JSON, which the faults know
        good = gateway.path.read_bytes()
        for number, fault in enumerate(FAULTS, 1):
            answer = reload(gateway)
            assert answer["ok"], answer
            fault(gateway.path)
            began = time.monotonic()
            answer = reload(gateway)
            assert not answer["ok"] and time.monotonic() - began < AT_ONCE, fault
            assert gateway.metric("config_reloads_total", result="failed") == number
            assert gateway.metric("config_last_reload_successful") == 0
            echo_once(port_of(gateway.config), context)
            if gateway.path.is_dir():
                gateway.path.rmdir()
            gateway.path.unlink(missing_ok=True)
            gateway.path.write_bytes(good)
        assert gateway.rss_kib() - memory < 64 * 1024
