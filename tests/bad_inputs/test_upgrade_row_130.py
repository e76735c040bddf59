"""Row 130: another version of the program takes over while associations are open."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy import __version__
from tests.support.archive import Archive, expect_success, instance
from tests.support.attempts import echo_once, seconds_to_be_served
from tests.support.client import associate, client_context, connect, echo, release
from tests.support.gateway import REPOSITORY, Gateway
from tests.support.pacs import Pacs
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, until
from tests.support.site import Site, port_of
from tests.support.socket_unit import Unit
from tests.support.steering import kill, reload, reloaded, workers

NEWER = "9.9.9"


def install(folder: Path, version: str) -> None:
    """The program as an installation of its own, or over the one that is there."""
    shutil.copytree(REPOSITORY / "proxy", folder / "proxy", dirs_exist_ok=True)
    init = folder / "proxy" / "__init__.py"
    init.write_text(init.read_text().replace(__version__, version))


def serving_version(gateway: Gateway) -> str:
    (line,) = (line for line in gateway.get("/metrics")[1].splitlines() if line.startswith("dicomgate_build_info{"))
    return line.partition('version="')[2].partition('"')[0]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def unit(tmp_path: Path, port: int) -> Iterator[Unit]:
    unit = Unit(tmp_path, [port])
    yield unit
    unit.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_row_130_a_new_program_on_the_same_sockets(
    site: Site, tmp_path: Path, unit: Unit, port: int, number: signal.Signals
) -> None:
    """The old one stops, or its supervisor is killed: it serves its associations to the end, the new one all others."""
    install(tmp_path / "new", NEWER)
    archive, context = Archive(), client_context()
    with Pacs(archive) as pacs:
        config = site.one_tenant(pacs.port, port=port, workers=2, timeouts={"drain": "5m"})
        old = unit.start(config)
        new = None
        try:
            storing, idle = (associate(connect(port, context)) for _ in range(2))
            one = instance()
            pdus = one.pdus()
            storing.send(b"".join(pdus[: len(pdus) // 2]))
            old.child.process.send_signal(number)
            until(lambda: number == signal.SIGKILL or old.get("/readyz")[0] == 503, "it drains")
            config["admin"]["listen"] = f"127.0.0.1:{free_port()}"
            new = unit.start(config, launcher=("env", f"PYTHONPATH={tmp_path / 'new'}"), folder="newer")
            assert serving_version(new) == NEWER
            for _ in range(10):
                echo_once(port, context)
            until(lambda: len(new.records) == 10, "all of them came to the new one")
            storing.send(b"".join(pdus[len(pdus) // 2 :]))
            expect_success(storing)
            archive.check([one])
            echo(idle)
            release(storing)
            release(idle)
            assert old.child.process.wait(PATIENCE) == (0 if number == signal.SIGTERM else -number)
        finally:
            old.child.end()
            code = new.child.end() if new is not None else None
        assert code == 0 and "Traceback" not in old.child.text + new.child.text


def serving(gateway: Gateway) -> None:
    """Until the two workers serve, and one of the generation before them, which has an association."""
    state = {"running": 2, "draining": 1, "starting": 0}
    until(lambda: all(gateway.metric("workers", state=name) == count for name, count in state.items()), "they serve")


def test_row_130_the_program_is_replaced_under_a_running_gateway(site: Site, tmp_path: Path) -> None:
    """No worker of another version is started: a reload reports it, and nothing changes until the restart.

    A worker that dies meanwhile cannot be replaced; the event holds the reason.
    """
    installed = tmp_path / "installed"
    install(installed, __version__)
    context = client_context()
    with Pacs(Archive()) as pacs:
        config = site.one_tenant(pacs.port, workers=2, control=str(tmp_path / "control.sock"))
        gateway = Gateway(tmp_path / "gateway", config, launcher=("env", f"PYTHONPATH={installed}"))
        try:
            open = associate(connect(port_of(config), context))
            reloaded(gateway)
            install(installed, NEWER)
            answer = reload(gateway)
            assert not answer["ok"] and NEWER in answer["message"] and "restart" in answer["message"]
            serving(gateway)
            echo(open)
            echo_once(port_of(config), context)
            mark = gateway.mark()
            victim = workers(gateway)[-1]
            kill(victim)
            lost = gateway.wait_for_event("worker_lost", since=mark)
            assert lost["pid"] == victim
            refused = gateway._wait(lambda line: NEWER in line.get("message", ""), PATIENCE, mark)
            assert refused["event"] == "worker_lost" and "restart" in refused["message"]
            seconds_to_be_served(port_of(config), context)
            install(installed, __version__)  # back again
            serving(gateway)
            echo(open)
            release(open)
        finally:
            code = gateway.child.end()
        assert code == 0 and "Traceback" not in gateway.child.text
