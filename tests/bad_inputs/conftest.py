"""One gateway per file of rows; the assertions that hold for every row are made after its test has passed."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import Case
from tests.bad_inputs.configuration import Pki
from tests.bad_inputs.fake_pacs import FakePacs
from tests.support.ports import free_port

_PASSED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if call.when == "call":
        item.stash[_PASSED] = report.passed  # type: ignore[attr-defined]
    return report


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Short ids for long inputs: pytest numbers them."""
    return f"{len(val)}bytes" if isinstance(val, bytes) and len(val) > 24 else None


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def start_bed(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Bed]]:
    """Starts beds; each must end cleanly."""
    started: list[tuple[Bed, FakePacs]] = []

    def start(**options: Any) -> Bed:
        pacs = FakePacs(free_port())
        try:
            bed = Bed(tmp_path_factory.mktemp("gateway"), pki, pacs, **options)
        except BaseException:
            pacs.close()
            raise
        started.append((bed, pacs))
        return bed

    yield start
    for bed, pacs in started:
        try:
            bed.stop()
        finally:
            pacs.close()


@pytest.fixture(scope="module")
def bed(start_bed: Callable[..., Bed]) -> Bed:
    return start_bed()


@pytest.fixture
def case(bed: Bed, request: pytest.FixtureRequest) -> Iterator[Case]:
    case = Case(bed)
    yield case
    try:
        if request.node.stash.get(_PASSED, False):
            case.check()
    finally:
        case.close()
