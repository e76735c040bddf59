"""Health checks of all servers: their requests, their events, and the checks that a reload does not restart."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from proxy.config.values import File, Server, Upstream, UpstreamTls
from proxy.policy import Reject
from proxy.process import health as module
from proxy.process.health import HealthChecks
from proxy.shared.server_states import ServerStates, server_key
from proxy.shared.table import SharedTable
from proxy.tls.upstreams import UpstreamContext
from proxy.upstream.verification import Outcome, StepName, Verification, VerificationRequest
from tests.support import defaults

ONE, TWO = Server("one", 104), Server("two", 104)
ECHO = defaults.health_check("echo", interval=0.001, rise=1, fall=1, called_aet="MAINPACS")
PACS = defaults.upstream("pacs", (ONE, TWO), health_check=ECHO)
REFUSED = Verification(Outcome.REJECTED, answer=Reject(1, 1, 3), failed_step=StepName.ASSOCIATE)


class Bed:
    """Servers that answer their checks by `answers`, and repeat the last answer of their list.

    `async with bed` ends the checks.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.states = ServerStates(SharedTable.create(1, 8))
        self.logged: list[tuple[str, dict[str, Any]]] = []
        self.counted: list[tuple[str, ...]] = []
        self.requests: list[VerificationRequest] = []
        self.ended = asyncio.Event()  # a check has ended
        self.bugs: list[Exception] = []
        self.answers: dict[Server, list[Verification | Exception]] = {}
        self.checks = HealthChecks(self.states, self, self)
        monkeypatch.setattr(module, "verify", self.verify)

    async def verify(self, request: VerificationRequest) -> Verification:
        self.requests.append(request)
        answers = self.answers.setdefault(request.server, [Verification()])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def event(self, level: str, name: str, **fields: Any) -> None:
        self.logged.append((name, fields))

    def checked(self, upstream: str, server: str, check: str, result: str, when: float) -> None:
        if self.bugs:
            raise self.bugs.pop()
        self.counted.append((upstream, server, check, result))
        self.ended.set()

    def names(self) -> list[str]:
        return [name for name, _ in self.logged]

    def asked(self, server: Server) -> int:
        return sum(request.server == server for request in self.requests)

    async def until(self, predicate: Callable[[], bool]) -> None:
        while not predicate():
            self.ended.clear()
            await self.ended.wait()

    def configure(self, *upstreams: Upstream, contexts: dict[str, Any] | None = None) -> None:
        class Config:
            pass

        config: Any = Config()
        config.upstreams = {upstream.name: upstream for upstream in upstreams}
        self.checks.configure(config, contexts or {})

    async def __aenter__(self) -> None:
        """Begin nothing: checks start with `configure`."""

    async def __aexit__(self, *_: object) -> None:
        await self.checks.close()


@pytest.fixture
def bed(monkeypatch: pytest.MonkeyPatch) -> Bed:
    return Bed(monkeypatch)


async def test_a_server_that_goes_down_and_comes_up_is_logged_once_each(bed: Bed) -> None:
    hung = Verification(Outcome.TIMEOUT, "no answer within 3 s", failed_step=StepName.ASSOCIATE)
    bed.answers = {ONE: [hung, hung, hung, Verification()]}

    async with bed:
        bed.configure(PACS)
        await bed.until(lambda: bed.asked(ONE) > 6 and bed.asked(TWO) > 2)
    fields = {"upstream": "pacs", "server": "one:104", "check": "echo"}
    assert bed.logged == [
        ("server_down", {**fields, "message": "no answer within 3 s (associate)"}),
        ("server_up", {**fields, "message": "it answers"}),
    ]
    assert ("pacs", "one:104", "echo", "timeout") in bed.counted
    assert ("pacs", "two:104", "echo", "ok") in bed.counted
    assert not bed.states.failing(server_key(PACS, ONE))


async def test_a_server_that_refuses_the_check_is_up_and_logged_once(bed: Bed) -> None:
    bed.answers = {ONE: [REFUSED]}

    async with bed:
        bed.configure(replace(PACS, servers=(ONE,)))
        await bed.until(lambda: bed.asked(ONE) > 3)
    assert bed.names() == ["health_check_refused"]
    described = bed.checks.describe(PACS, ONE)
    assert described is not None and described["detail"].startswith("alive, refuses the check: A-ASSOCIATE-RJ")
    assert not bed.states.failing(server_key(PACS, ONE))
    assert bed.checks.describe(PACS, TWO) is None


async def test_the_request_of_a_check(bed: Bed) -> None:
    pacs = replace(PACS, servers=(ONE,), send_proxy_protocol=2, source_address="127.0.0.1")

    async with bed:
        bed.configure(
            pacs,
            defaults.upstream("tcp", (TWO,), health_check=defaults.health_check("tcp", interval=0.001, timeout=0.5)),
        )
        await bed.until(lambda: bed.asked(ONE) > 0 and bed.asked(TWO) > 0)
    echo, tcp = (next(r for r in bed.requests if r.server == server) for server in (ONE, TWO))
    assert (echo.calling, echo.called, echo.timeout, echo.last) == ("DICOMGATE", "MAINPACS", 3.0, StepName.RELEASE)
    assert (echo.source_address, echo.preface[12]) == ("127.0.0.1", 0x20)  # version 2, LOCAL
    assert (tcp.timeout, tcp.last, tcp.preface, tcp.tls) == (0.5, StepName.CONNECT, b"", None)
    assert echo.resolver is tcp.resolver is not None


async def test_a_check_that_cannot_be_made_does_not_change_the_state_of_the_server(bed: Bed) -> None:
    bed.answers = {ONE: [OSError(24, "Too many open files"), Verification()]}

    async with bed:
        bed.configure(replace(PACS, servers=(ONE,)))
        await bed.until(lambda: bed.asked(ONE) > 2)
    assert bed.names() == ["health_check_failed"]
    assert not bed.states.failing(server_key(PACS, ONE))


async def test_a_bug_ends_no_checks(bed: Bed) -> None:
    """Without further checks a verdict would stand for ever."""
    bed.bugs = [KeyError("pacs")]

    async with bed:
        bed.configure(replace(PACS, servers=(ONE,)))
        await bed.until(lambda: len(bed.counted) > 2)
    assert bed.names() == ["health_check_failed"]


async def test_a_check_that_goes_on_takes_the_context_of_the_new_workers(bed: Bed) -> None:
    """The CAs of the system may have changed, which the configuration does not show."""
    pacs = replace(PACS, servers=(ONE,), tls=UpstreamTls("bcp195"))
    before, after = (UpstreamContext(UpstreamTls("bcp195-rfc8996"), ssl.create_default_context()) for _ in range(2))

    async with bed:
        bed.configure(pacs, contexts={"pacs": before})
        await bed.until(lambda: len(bed.counted) == 1)
        bed.configure(pacs, contexts={"pacs": after})
        await bed.until(lambda: len(bed.counted) == 3)
    assert bed.requests[0].tls is before.context and bed.requests[-1].tls is after.context


async def test_good_checks_end_the_pause_of_a_server_that_could_not_be_connected_to(bed: Bed) -> None:
    key = server_key(PACS, ONE)
    assert bed.states.failed(key, 0.0, 0.0, alone=False)

    async with bed:
        bed.configure(PACS)
        await bed.until(lambda: not bed.states.failing(key))
    assert bed.names() == ["server_up"]


async def test_a_reload_restarts_the_checks_that_changed_and_no_others(bed: Bed) -> None:
    slow = replace(ECHO, interval=60.0)
    pacs = replace(PACS, health_check=slow)
    other = defaults.upstream("other", (ONE,), health_check=slow)

    async with bed:
        bed.configure(pacs, other)
        await bed.until(lambda: len(bed.requests) == 3)
        bed.configure(replace(pacs, where="config.yaml:99"), replace(other, health_check=replace(slow, fall=9)))
        await bed.until(lambda: len(bed.requests) == 4)
    assert [upstream for upstream, *_ in bed.counted].count("pacs") == 2


async def test_a_line_above_the_certificates_is_no_change(bed: Bed) -> None:
    def pacs(line: int) -> Upstream:
        ca = File("ca.pem", b"the same", f"config.yaml:{line}")
        return replace(PACS, servers=(ONE,), tls=UpstreamTls("bcp195", ca=ca), health_check=replace(ECHO, interval=60))

    async with bed:
        bed.configure(pacs(7))
        await bed.until(lambda: len(bed.requests) == 1)
        bed.configure(pacs(8), defaults.upstream("other", (TWO,), health_check=ECHO))
        await bed.until(lambda: bed.asked(TWO) == 3)
    assert bed.asked(ONE) == 1


async def test_a_server_whose_checks_end_is_up_again(bed: Bed) -> None:
    bed.answers = {ONE: [Verification(Outcome.NOT_CONNECTED)]}
    key = server_key(PACS, ONE)

    async with bed:
        bed.configure(PACS)
        await bed.until(lambda: bed.states.down(key))
        bed.configure(replace(PACS, health_check=None))
    assert not bed.states.failing(key)
    assert bed.checks.describe(PACS, ONE) is None
