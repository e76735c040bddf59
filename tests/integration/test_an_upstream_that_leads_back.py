"""The loop guard: an association that comes back to the gateway is rejected at once, and no other one is."""

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from proxy.net.loops import MANY
from proxy.pdu import encode_associate_rj, parse_associate_rq
from tests.support import dcmtk
from tests.support.balancers import haproxy
from tests.support.client import associate, connect, release, request
from tests.support.gateway import Gateway, configuration
from tests.support.names import Names
from tests.support.pacs import Pacs, Visit
from tests.support.ports import free_port
from tests.support.processes import until
from tests.support.site import Site

LOOP = encode_associate_rj(2, 3, 1)
SOON = 2.0  # seconds
#: Connections to itself by which a gateway recognises a loop: the equal requests, and the question.
ROUNDS = MANY + 1


def plain(
    port: int, upstream: int | str | dict[str, Any], *, good: int | None = None, **changes: Any
) -> dict[str, Any]:
    """A plaintext listener before an upstream of MAINPACS, and a `good` one of OTHER."""
    tenant: dict[str, Any] = {
        "called_aets": ["MAINPACS"],
        "upstream": "back",
        "peers": [{"aet": "*", "allow": ["all"]}],
        **({} if good is None else {"routes": {"OTHER": "good"}}),
        **changes.pop("tenant", {}),
    }
    listener = {"bind": changes.pop("bind", [f"127.0.0.1:{port}"]), "networks": ["127.0.0.0/8"], "tenants": ["ward"]}
    upstreams: dict[str, int | str | dict[str, Any]] = {"back": upstream, **({} if good is None else {"good": good})}
    return configuration({"dicom": listener}, {"ward": tenant}, upstreams, **changes)


OWN = "gate.test"


@pytest.fixture
def names(tmp_path: Path) -> Names:
    """The upstream is given by a name: a configuration with the gateway's own address is refused."""
    return Names(tmp_path, {OWN: ("127.0.0.1",)})


def nothing_is_left(gateway: Gateway) -> None:
    until(lambda: gateway.metric("connections_active") == 0, "all connections are closed", 5)
    until(lambda: gateway.child.descriptors() <= gateway.baseline_descriptors, "all descriptors are given back", 5)


def refused(gateway: Gateway, connections: int) -> None:
    """So many connections came, and each is recorded as part of a loop (or was summed up)."""
    assert gateway.metric("connections_total") == connections
    until(lambda: gateway.metric("association_refusals_total", reason="upstream_loop") == connections, "all are told")
    assert {record["reason"] for record in gateway.records} == {"upstream_loop"}


# --- by its address ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0"])
def test_a_name_of_our_own_address_is_not_dialled(
    bind: str, names: Names, start_gateway: Callable[..., Gateway]
) -> None:
    port = free_port()
    gateway = start_gateway(plain(port, f"{OWN}:{port}", bind=[f"{bind}:{port}"]), launcher=names.launcher())
    answer = dcmtk.echoscu(port)
    assert answer.code != 0 and "Temporary Congestion" in answer.text
    refused(gateway, 1)
    (record,) = gateway.records
    assert record["detail"] == f"upstream back: 127.0.0.1:{port} is the listener dicom of this gateway"
    assert gateway.metric("upstream_connect_attempts_total", upstream="back", result="loop") == 1
    assert gateway.wait_for_event("upstream_loop")["server"] == f"{OWN}:{port}"
    nothing_is_left(gateway)


def test_a_pool_goes_on_without_it(names: Names, start_gateway: Callable[..., Gateway]) -> None:
    port = free_port()
    with Pacs() as pacs:
        servers = [{"address": f"{OWN}:{port}"}, {"address": f"127.0.0.1:{pacs.port}"}]
        gateway = start_gateway(plain(port, {"servers": servers, "balance": "first_up"}), launcher=names.launcher())
        for _ in range(3):
            with associate(connect(port)) as wire:
                release(wire)
        assert gateway.metric("connections_total") == 3
        assert gateway.metric("upstream_up", server=f"{OWN}:{port}") == 1
    assert [line["event"] for line in gateway.events].count("upstream_loop") == 1


def test_the_same_port_of_another_address_is_dialled(start_gateway: Callable[..., Gateway]) -> None:
    """The listener at that address is not this gateway."""
    with Pacs(host="127.0.0.5") as pacs:
        gateway = start_gateway(plain(pacs.port, f"127.0.0.5:{pacs.port}"))
        with associate(connect(pacs.port)) as wire:
            release(wire)
        assert gateway.wait_for_record()["decision"] == "accepted"


# --- through others ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.peers
def test_through_a_port_forwarder(workers: int, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    port = free_port()
    with Pacs() as good, haproxy(tmp_path, port) as forwarder:
        gateway = start_gateway(plain(port, forwarder, good=good.port, workers=workers))
        with associate(connect(port), "OTHER") as served:
            asked = time.monotonic()
            answer = dcmtk.echoscu(port)
            assert time.monotonic() - asked < SOON
            assert answer.code != 0 and "Temporary Congestion" in answer.text
            first = gateway.metric("connections_total") - 1
            assert first == 1 + ROUNDS
            until(lambda: gateway.metric("association_refusals_total", reason="upstream_loop") == first, "all are told")
            assert gateway.wait_for_event("upstream_loop")["server"] == f"127.0.0.1:{forwarder}"
            # Known from now on: no other association makes the round.
            assert dcmtk.echoscu(port).code != 0
            assert gateway.metric("connections_total") - 1 == first + 1
            with associate(connect(port), "OTHER") as another:
                release(another)
            release(served)
        refusals = [record for record in gateway.records if record["decision"] == "refused"]
        assert {record["reason"] for record in refusals} == {"upstream_loop"}
        nothing_is_left(gateway)


def test_many_senders_at_once_make_few_rounds(tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    port, senders = free_port(), 12
    with haproxy(tmp_path, port) as forwarder:
        limits = {"handshakes_per_address": 200}
        gateway = start_gateway(plain(port, forwarder, workers=2, limits=limits))

        def ask(number: int) -> bytes:
            with connect(port, source=f"127.0.1.{number + 1}") as wire:
                wire.send(request(calling=f"CT{number}"))
                return wire.receive_pdu()

        with ThreadPoolExecutor(senders) as pool:
            assert list(pool.map(ask, range(senders))) == [LOOP] * senders
        # A loop that is found is found for all, except for those that are on their way already.
        connections = int(gateway.metric("connections_total"))
        assert ROUNDS < connections <= senders * 2 * MANY
        refused(gateway, connections)
        assert [line["event"] for line in gateway.events].count("upstream_loop") == 1
        nothing_is_left(gateway)


def test_edits_on_the_way_hide_nothing(tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    port = free_port()
    with haproxy(tmp_path, port) as forwarder:
        tenant = {"called_aets": ["MAINPACS", "INSIDE"], "rewrite": {"called_aet": "INSIDE"}}
        gateway = start_gateway(plain(port, forwarder, tenant=tenant))
        with connect(port) as wire:
            wire.send(request())
            assert wire.receive_pdu() == LOOP
        # The first request differs from those that come back.
        refused(gateway, 1 + ROUNDS + 1)
        nothing_is_left(gateway)


def test_through_a_tls_listener(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    port = free_port()
    with haproxy(tmp_path, port) as forwarder:
        gateway = start_gateway(site.one_tenant(site.upstream(forwarder), port=port))
        asked = time.monotonic()
        answer = dcmtk.echoscu(port, dcmtk.tls(ca=site.path("ca.pem")))
        assert time.monotonic() - asked < SOON
        assert answer.code != 0 and "Temporary Congestion" in answer.text
        refused(gateway, 1 + ROUNDS)
        nothing_is_left(gateway)


def test_two_gateways_that_point_at_one_another(start_gateway: Callable[..., Gateway]) -> None:
    one, other = free_port(), free_port()
    gateways = [start_gateway(plain(one, other)), start_gateway(plain(other, one))]
    with connect(one) as wire:
        wire.send(request())
        assert wire.receive_pdu() == LOOP
    assert all(gateway.metric("connections_total") <= 1 + ROUNDS for gateway in gateways)
    assert gateways[0].wait_for_event("upstream_loop")["server"] == f"127.0.0.1:{other}"
    for gateway in gateways:
        nothing_is_left(gateway)


# --- no loop ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def slow_pacs(seconds: float) -> Iterator[Pacs]:
    """Accepts everybody after a while."""

    def think(visit: Visit) -> None:
        visit.request = visit.wire.receive_pdu()
        time.sleep(seconds)
        visit.accept()
        visit.until_end()

    with Pacs(think) as pacs:
        yield pacs


def name_of(visit: Visit) -> str:
    return parse_associate_rq(visit.request).user_information.implementation_version_name or ""


@pytest.mark.parametrize("workers", [1, 4])
def test_a_burst_before_a_slow_pacs_is_served(workers: int, start_gateway: Callable[..., Gateway]) -> None:
    port, senders = free_port(), 32
    with slow_pacs(3.0) as pacs:
        gateway = start_gateway(plain(port, pacs.port, workers=workers))
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(connect(port)) for _ in range(senders)]
            for wire in wires:
                wire.send(request())
            for wire in wires:
                assert wire.receive_pdu()[:1] == b"\x02"
            took = time.monotonic() - began
            for wire in wires:
                release(wire)
        assert took < 3.0 + SOON + 1.0
        questions = [visit for visit in pacs.visits if name_of(visit).startswith("LOOP-")]
        assert len(questions) == 1 and len(pacs.visits) == senders + 1
        assert "LOOP-" in gateway.wait_for_event("upstream_probed")["message"]
        assert not [line for line in gateway.events if line["event"] == "upstream_loop"]
        nothing_is_left(gateway)


def test_a_pacs_that_answers_the_question_is_left_politely(start_gateway: Callable[..., Gateway]) -> None:
    """The server is fast again when the question comes."""
    port = free_port()
    slow = [True]

    def accept_when_let(visit: Visit) -> None:
        visit.request = visit.wire.receive_pdu()
        if not name_of(visit).startswith("LOOP-"):
            until(lambda: not slow[0], "the PACS may answer")
        visit.accept()
        visit.until_end()

    with Pacs(accept_when_let) as pacs, contextlib.ExitStack() as stack:
        gateway = start_gateway(plain(port, pacs.port))
        wires = [stack.enter_context(connect(port)) for _ in range(MANY + 1)]
        for number, wire in enumerate(wires):
            wire.send(request())
            until(lambda: pacs.dials > number, "it is forwarded")  # noqa: B023
        gateway.wait_for_event("upstream_probed")
        until(lambda: pacs.dials == MANY + 2, "the last request is forwarded, too")
        asked = next(visit for visit in pacs.visits if name_of(visit).startswith("LOOP-"))
        assert asked.done.wait(5)
        assert asked.ended == "release"
        slow[0] = False
        for wire in wires:
            assert wire.receive_pdu()[:1] == b"\x02"
            release(wire)


def test_a_requestor_that_leaves_ends_the_question(start_gateway: Callable[..., Gateway]) -> None:
    """The unanswered question decides nothing about the server: the next suspected request asks again."""
    port = free_port()
    with slow_pacs(3.0) as pacs, contextlib.ExitStack() as stack:
        gateway = start_gateway(plain(port, pacs.port))
        for number in range(MANY):
            stack.enter_context(connect(port)).send(request())
            until(lambda: pacs.dials > number, "it is forwarded")  # noqa: B023
        for question in (1, 2):
            with connect(port) as wire:
                wire.send(request())
                asked = pacs.visit(MANY - 1 + question)
                until(lambda: asked.request, "it is asked about")  # noqa: B023
                assert name_of(asked).startswith("LOOP-")
            until(lambda: gateway.metric("association_refusals_total", reason="requestor_gone") == question, "it left")  # noqa: B023
            time.sleep(0.6)  # the pause between two questions
        assert not [line for line in gateway.events if line["event"].startswith("upstream_")]


def test_two_gateways_in_a_row_are_no_loop(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    """A way out and a way in: each request passes both, and none of them twice."""
    inner, outer = free_port(), free_port()
    with slow_pacs(0.5) as pacs, contextlib.ExitStack() as stack:
        gateways = [start_gateway(site.one_tenant(pacs.port, port=inner))]
        gateways.append(start_gateway(plain(outer, site.upstream(inner))))
        wires = [stack.enter_context(connect(outer)) for _ in range(3 * MANY)]
        for wire in wires:
            wire.send(request())
        for wire in wires:
            assert wire.receive_pdu()[:1] == b"\x02"
            release(wire)
        for gateway in gateways:
            assert not [line for line in gateway.events if line["event"] == "upstream_loop"]
            assert {record["decision"] for record in gateway.records} <= {"accepted", "failed"}
