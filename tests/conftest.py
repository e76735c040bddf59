"""Shared by all tests: missing peers, coroutine tests, and a gateway that ends with the test that started it."""

import asyncio
import gc
import inspect
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import hypothesis
import pytest

from tests.support.gateway import Gateway, Record
from tests.support.site import Site
from tests.support.soak import SOAK

#: The programs that tests start, of Debian's dcmtk, and of its orthanc, openssl and gnutls-bin.
DCMTK = ("echoscu", "storescu", "findscu", "movescu", "getscu", "storescp")
PEERS = (*DCMTK, "Orthanc", "openssl", "gnutls-cli", "certtool")
LONGEST_COROUTINE = 10.0  # seconds for an `async def test_`

# No deadline: the machine may be shared, and how long one example takes is not what these tests are about.
hypothesis.settings.register_profile("quick", deadline=None)
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=2_000, print_blob=True)
hypothesis.settings.load_profile("quick")


def pytest_configure(config: pytest.Config) -> None:
    """Lift the timeout of tests in a soak."""
    if SOAK:
        config.option.timeout = 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests with real peers are skipped where one is missing; with DICOMGATE_REQUIRE_PEERS=1 that is a failure."""
    missing = [program for program in PEERS if shutil.which(program) is None]
    if not missing:
        return
    concerned = [item for item in items if item.get_closest_marker("peers")]
    if concerned and os.environ.get("DICOMGATE_REQUIRE_PEERS") == "1":
        raise pytest.UsageError(f"DICOMGATE_REQUIRE_PEERS=1, but not installed: {', '.join(missing)}")
    skip = pytest.mark.skip(reason=f"not installed: {', '.join(missing)}")
    for item in concerned:
        item.add_marker(skip)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def test_` on an event loop of its own, which ends with it."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    test = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    asyncio.run(asyncio.wait_for(test, LONGEST_COROUTINE))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Close what a failed test has left open, so that no later test is blamed for it."""
    failed = item.session.testsfailed
    result = yield
    if item.session.testsfailed > failed:
        sys.last_value = sys.last_traceback = None  # where pytest keeps the frames for a debugger
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    return result


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Certificates of a hospital, in a folder of the test."""
    return Site(tmp_path / "site")


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Starts gateways; each must live until the end of the test, meet no bug of its own, and end with 0."""
    started: list[Gateway] = []

    def start(config: Record | str, *, launcher: Sequence[str] = ()) -> Gateway:
        gateway = Gateway(tmp_path / f"gateway{len(started)}", config, launcher=launcher)
        started.append(gateway)
        return gateway

    yield start
    failures = []
    for gateway in started:
        try:
            gateway.stop()
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, failures
