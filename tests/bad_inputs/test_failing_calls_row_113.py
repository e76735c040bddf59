"""Row 113: the system has no descriptor, buffer or memory left for a call of a worker."""

import errno
import itertools
import time
from collections.abc import Iterator

import pytest

from proxy.pdu import PduType
from tests.support.archive import Archive
from tests.support.attempts import echo_once
from tests.support.client import associate, client_context, connect, echo, release, request
from tests.support.failing_calls import EPOLL_ADD, FailingCalls
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.steering import workers

#: Result, source and reason (PS3.8 Table 9-21) of `upstream_unavailable`: temporary congestion.
UNAVAILABLE = bytes((2, 3, 1))
CALLS = ("accept4", "socket", "connect", "epoll_ctl")
NO_ROOM = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM]


_numbers = itertools.count()


def name(error: int) -> str:
    return errno.errorcode[error]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, FailingCalls]]:
    folder = tmp_path_factory.mktemp("calls")
    calls = FailingCalls(folder, *CALLS)
    with Pacs(Archive()) as pacs:
        config = Site(folder / "site").one_tenant(pacs.port)
        gateway = Gateway(folder / "gateway", config, launcher=calls.launcher)
        try:
            echo_once(port_of(config), client_context())
            yield gateway, calls
        finally:
            calls.recover()
            gateway.stop()
            calls.close()
        assert not [line for line in gateway.child.errors if "Traceback" in line or "Warning" in line]


@pytest.fixture
def gateway(bed: tuple[Gateway, FailingCalls]) -> Iterator[Gateway]:
    """After a shortage all resources are released, and no event reported it as a bug."""
    gateway = bed[0]
    until(lambda: gateway.metric("connections_active") == 0, "nothing is open")
    descriptors = min(gateway.child.descriptors() for _ in range(20))
    yield gateway
    until(lambda: gateway.metric("connections_active") == 0, "all is closed")
    until(lambda: gateway.child.descriptors() <= descriptors, "all descriptors are given back")
    gateway.check_healthy()


@pytest.fixture
def calls(bed: tuple[Gateway, FailingCalls]) -> Iterator[FailingCalls]:
    calls = bed[1]
    calls.failed.clear()
    yield calls
    calls.recover()


@pytest.mark.parametrize("error", NO_ROOM, ids=name)
def test_row_113_accept(gateway: Gateway, calls: FailingCalls, error: int) -> None:
    """New connections wait, without a spin and with a line a second; open associations do not notice."""
    port, context = port_of(gateway.config), client_context()
    mark = gateway.mark()
    with associate(connect(port, context)) as open:
        calls.fail("accept4", error, workers(gateway))
        failing = time.monotonic()
        with connect(port) as waiting:
            until(lambda: calls.failed["accept4"] >= 5, "it is tried again and again")
            began, tried = time.monotonic(), calls.failed["accept4"]
            echo(open)
            time.sleep(0.5)
            assert calls.failed["accept4"] - tried <= 2 + 10 * (time.monotonic() - began)
            assert gateway.get("/readyz")[0] == 200
            calls.recover()
            waiting.start_tls(context)
            echo(associate(waiting))
            release(waiting)
        release(open)
        paused = time.monotonic() - failing
    gateway.wait_for_event("accept_paused", since=mark)
    said = [line for line in gateway.lines[mark:] if line["event"] == "accept_paused"]
    assert 1 <= len(said) <= 2 + paused, said
    assert f"[Errno {error}]" in said[0]["error"]


@pytest.mark.parametrize(
    ("call", "error"),
    [*(("socket", error) for error in NO_ROOM), ("connect", errno.ENOBUFS), ("connect", errno.ENOMEM)],
    ids=lambda value: value if isinstance(value, str) else name(value),
)
def test_row_113_dial(gateway: Gateway, calls: FailingCalls, call: str, error: int) -> None:
    """The requestor is answered as if the PACS could not be reached; afterwards the next one is served."""
    calls.fail(call, error, workers(gateway))
    expect_unavailable(gateway)
    calls.recover()
    echo_once(port_of(gateway.config), client_context())
    assert calls.failed[call]


@pytest.mark.parametrize("error", [errno.ENOMEM, errno.ENOSPC], ids=name)
def test_row_113_watching_the_upstream(gateway: Gateway, calls: FailingCalls, error: int) -> None:
    """The connection to the PACS cannot be watched: the same."""
    calls.fail("epoll_ctl", error, workers(gateway), skip=1, second=EPOLL_ADD)  # the first one is the requestor
    expect_unavailable(gateway)
    calls.recover()
    echo_once(port_of(gateway.config), client_context())
    assert calls.failed["epoll_ctl"]


@pytest.mark.parametrize("error", [errno.ENOMEM, errno.ENOSPC], ids=name)
def test_row_113_watching_the_requestor(gateway: Gateway, calls: FailingCalls, error: int) -> None:
    """A connection that cannot be watched is closed; accepting waits, and goes on when it can."""
    port, context = port_of(gateway.config), client_context()
    mark = gateway.mark()
    with associate(connect(port, context)) as open:
        calls.fail("epoll_ctl", error, workers(gateway), second=EPOLL_ADD)
        with connect(port) as first:
            assert first.receive_all() == b""
            echo(open)
        gateway.wait_for_event("accept_paused", since=mark)
        calls.recover()
        echo_once(port, context)
        release(open)


def test_row_113_admin_address(gateway: Gateway, calls: FailingCalls) -> None:
    """The supervisor has no descriptor for a request: workers serve, and it answers again when it has one."""
    calls.fail("accept4", errno.EMFILE, [gateway.pid])
    with connect(int(gateway.config["admin"]["listen"].rpartition(":")[2])):
        until(lambda: calls.failed["accept4"], "it has met that")
        echo_once(port_of(gateway.config), client_context())
        calls.recover()
    until(lambda: gateway.get("/readyz")[0] == 200, "it answers again")


def expect_unavailable(gateway: Gateway) -> None:
    calling = f"SHORT{next(_numbers)}"  # repeated refusals of one sender are summed up
    with connect(port_of(gateway.config), client_context()) as wire:
        wire.send(request(calling=calling))
        answer = wire.receive_pdu()
        assert answer[:1] == bytes([PduType.A_ASSOCIATE_RJ]) and answer[7:10] == UNAVAILABLE, answer.hex()
    record = gateway.wait_for_record(lambda record: record.get("calling_aet") == calling)
    assert record["reason"] == "upstream_unavailable", record
