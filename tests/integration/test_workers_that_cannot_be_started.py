"""Workers that the system cannot start, or starts slowly: nothing is left over, and no other policy serves."""

import copy
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.archive import Archive
from tests.support.attempts import CUT, echo_once
from tests.support.client import client_context
from tests.support.gateway import Gateway, Record
from tests.support.pacs import Pacs
from tests.support.processes import until
from tests.support.sabotage import sabotage
from tests.support.site import Site, port_of
from tests.support.steering import ask, kill, reload, reloaded, wait_serving, workers

WORKERS = 2
STARTED = 2.0  # seconds in which a worker is up
ATTEMPTS = 10  # each meets a left-over worker in one of two or three cases
#: The first start of a process that sees `held` waits until `holds` is removed; other starts do not.
SLOW = """
import asyncio
if "proxy.process.serving" not in sys.orig_argv:
    start = asyncio.create_subprocess_exec
    async def slowly(*arguments, **options):
        if os.path.exists("{held}"):
            os.rename("{held}", "{holds}")
            while os.path.exists("{holds}"):
                await asyncio.sleep(0.01)
        return await start(*arguments, **options)
    asyncio.create_subprocess_exec = slowly
"""
#: While `held` is there, one worker starts, and all others fail when it is gone.
ONE_STARTS = """
import time
if os.path.exists("{held}"):
    try:
        os.mkdir("{holds}")
    except FileExistsError:
        while os.path.exists("{held}"):
            time.sleep(0.01)
        sys.exit(1)
"""
#: While `held` is there, one worker starts and ends again; all others start when the supervisor has seen that end.
ONE_ENDS = """
import threading
import time
if os.path.exists("{held}"):
    try:
        os.symlink(f"/proc/{{os.getpid()}}", "{holds}")
        threading.Timer(1.5, os._exit, (1,)).start()  # it is up by then
    except FileExistsError:
        while os.path.exists("{holds}"):
            time.sleep(0.01)
"""


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    with Pacs(Archive()) as pacs:
        yield pacs


@pytest.fixture
def config(site: Site, pacs: Pacs, tmp_path: Path) -> Record:
    peers = [{"aet": "CT1", "name": "ct1", "allow": ["all"]}]
    return site.one_tenant(pacs.port, workers=WORKERS, control=str(tmp_path / "control.sock"), peers=peers)


def with_stranger(config: Record) -> Record:
    wider = copy.deepcopy(config)
    wider["tenants"]["hospital"]["peers"].append({"aet": "STRANGER", "name": "stranger", "allow": ["all"]})
    return wider


def stranger_is_let_in(gateway: Gateway) -> bool:
    try:
        echo_once(port_of(gateway.config), client_context(), "STRANGER")
    except CUT:
        return False
    return True


@contextmanager
def few_descriptors(gateway: Gateway, more: int) -> Iterator[None]:
    """The supervisor may open so many descriptors more, and no other."""
    limit = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path(f"/proc/{gateway.pid}/fd").iterdir())
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (highest + 1 + more, limit[1]))
    try:
        yield
    finally:
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, limit)


def test_a_killed_worker_is_replaced_as_soon_as_there_is_room(
    config: Record, start_gateway: Callable[..., Gateway]
) -> None:
    gateway = start_gateway(config)
    with few_descriptors(gateway, 0):
        mark = gateway.mark()
        kill(workers(gateway)[0])
        gateway.wait_for_event("worker_lost", since=mark, ended="SIGKILL")
        lost = gateway.wait_for_event("worker_lost", since=mark, ended="nothing")
        assert "Too many open files" in lost["message"]
    wait_serving(gateway, WORKERS)


def test_a_generation_that_is_started_by_half_is_taken_back(
    config: Record, start_gateway: Callable[..., Gateway]
) -> None:
    gateway = start_gateway(config)
    before = workers(gateway)
    for more in range(5, 10):  # for the configuration's files, and for a part of the workers
        with few_descriptors(gateway, more):
            answer = reload(gateway, with_stranger(config))
        if answer["ok"]:
            break
        assert workers(gateway) == before
        assert not any(stranger_is_let_in(gateway) for _ in range(ATTEMPTS))
    assert answer["ok"] and more > 5
    reloaded(gateway, config)
    wait_serving(gateway, WORKERS)


@pytest.fixture
def held(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "held", tmp_path / "holds"


def launcher(code: str, held: tuple[Path, Path], *, supervisor: bool = False) -> tuple[str, ...]:
    return sabotage(held[0].parent / "code", code.format(held=held[0], holds=held[1]), supervisor=supervisor)


def being_replaced(gateway: Gateway, held: tuple[Path, Path]) -> None:
    """Kill a worker, and have the start of its replacement wait."""
    held[0].touch()
    kill(workers(gateway)[0])
    until(held[1].exists, "another worker is about to start")


def test_a_worker_that_starts_during_a_reload_leaves_with_its_generation(
    config: Record, start_gateway: Callable[..., Gateway], held: tuple[Path, Path]
) -> None:
    gateway = start_gateway(with_stranger(config), launcher=launcher(SLOW, held, supervisor=True))
    assert stranger_is_let_in(gateway)
    being_replaced(gateway, held)
    reloaded(gateway, config)
    held[1].unlink()
    wait_serving(gateway, WORKERS)
    assert {worker["generation"] for worker in ask(gateway, "status")["workers"]} == {2}
    assert not any(stranger_is_let_in(gateway) for _ in range(ATTEMPTS))


def test_nobody_is_served_by_a_generation_that_is_not_complete(
    config: Record, start_gateway: Callable[..., Gateway], held: tuple[Path, Path]
) -> None:
    gateway = start_gateway(config, launcher=launcher(ONE_STARTS, held))
    held[0].touch()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(reload, gateway, with_stranger(config))
        until(held[1].exists, "a worker of the new generation starts")
        deadline = time.monotonic() + STARTED
        while time.monotonic() < deadline:
            assert not stranger_is_let_in(gateway)
        held[0].unlink()
        assert "before it served" in answer.result()["message"]
    assert not stranger_is_let_in(gateway)
    wait_serving(gateway, WORKERS)


def test_a_worker_that_ends_before_the_others_are_up_is_missed(
    config: Record, start_gateway: Callable[..., Gateway], held: tuple[Path, Path]
) -> None:
    """Otherwise the generation would serve without this worker from then on, or not at all."""
    gateway = start_gateway(config, launcher=launcher(ONE_ENDS, held))
    held[0].touch()
    assert "exit code 1" in reload(gateway)["message"]
    wait_serving(gateway, WORKERS)
