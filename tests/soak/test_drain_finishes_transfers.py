"""SIGTERM: transfers are finished, new requests refused as draining, and the exit code is 0. A second one ends at once.

Row 121 of docs/robustness.md.
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.pdu import PduType
from tests.support.archive import Archive, Instance, expect_success, instance
from tests.support.client import associate, client_context, connect, release, request
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs
from tests.support.site import Site, port_of
from tests.support.soak import scaled
from tests.support.wire import END, Wire

TRANSFERS = scaled(20, 100)
EXIT = 15.0  # seconds, less than the drain: workers say their last word, two processes end on a loaded machine
DRAINING = bytes((2, 3, 1))


class Transfers:
    """Associations that have each sent half of an instance."""

    def __init__(self, gateway: Gateway) -> None:
        context = client_context()
        self.halves: list[tuple[Wire, Instance, list[bytes]]] = []
        for _ in range(TRANSFERS):
            wire = associate(connect(port_of(gateway.config), context))
            one = instance()
            pdus = one.pdus()
            wire.send(b"".join(pdus[: len(pdus) // 2]))
            self.halves.append((wire, one, pdus[len(pdus) // 2 :]))

    def finish(self) -> list[Instance]:
        for wire, _, rest in self.halves:
            wire.send(b"".join(rest))
        for wire, _, _ in self.halves:
            expect_success(wire)
            release(wire)
        return [one for _, one, _ in self.halves]

    def close(self) -> None:
        for wire, _, _ in self.halves:
            wire.close()


def answer_to_a_request(port: int) -> bytes:
    """Result, source and reason of the A-ASSOCIATE-RJ to a new request (PS3.8 Table 9-21)."""
    with connect(port, client_context()) as wire:
        wire.send(request())
        answer = wire.receive_pdu()
        assert answer[:1] == bytes([PduType.A_ASSOCIATE_RJ]), answer.hex()
        assert wire.receive_pdu() == END
        return answer[7:10]


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def gateway(site: Site, tmp_path: Path, archive: Archive) -> Iterator[Gateway]:
    """Not by `start_gateway`: these end before their test does."""
    with Pacs(archive) as pacs:
        gateway = Gateway(tmp_path / "gateway", site.one_tenant(pacs.port, workers=2, timeouts={"drain": "5m"}))
        try:
            yield gateway
        finally:
            gateway.child.end()


def exit_code(gateway: Gateway) -> int:
    """Of a gateway that is about to end by itself."""
    gateway.child.process.wait(EXIT)
    return gateway.child.end()


def ends(gateway: Gateway) -> set[str]:
    return {record["ended"] for record in gateway.records if record["decision"] == "accepted"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_transfers_are_finished(gateway: Gateway, archive: Archive, number: signal.Signals) -> None:
    transfers = Transfers(gateway)
    gateway.child.process.send_signal(number)
    gateway.wait_for_event("draining")
    assert gateway.get("/readyz")[0] == 503
    assert answer_to_a_request(port_of(gateway.config)) == DRAINING
    gateway.child.process.send_signal(signal.SIGHUP)  # ignored while draining
    archive.check(transfers.finish())
    assert exit_code(gateway) == 0
    assert ends(gateway) == {"released"}
    assert len([record for record in gateway.records if record["ended"] == "released"]) == TRANSFERS
    assert [record["reason"] for record in gateway.records if record["decision"] == "refused"] == ["draining"]
    gateway_is_clean(gateway)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(gateway: Gateway, archive: Archive, number: signal.Signals) -> None:
    transfers = Transfers(gateway)
    gateway.child.process.send_signal(number)
    gateway.wait_for_event("draining")
    began = time.monotonic()
    gateway.child.process.send_signal(number)
    assert exit_code(gateway) == 0
    assert time.monotonic() - began < EXIT
    assert archive.stored == {}  # half an instance is none
    transfers.close()
    assert ends(gateway) == {"drained"} and len(gateway.records) == TRANSFERS
    gateway_is_clean(gateway)


def test_a_storm_of_signals(gateway: Gateway) -> None:
    transfers = Transfers(gateway)
    for _ in range(50):
        gateway.child.process.send_signal(signal.SIGINT)
        gateway.child.process.send_signal(signal.SIGHUP)
    gateway.wait_for_event("draining")
    gateway.child.process.send_signal(signal.SIGINT)  # all of the storm may have been one signal to a busy process
    assert exit_code(gateway) == 0
    transfers.close()
    assert len(gateway.records) == TRANSFERS
    gateway_is_clean(gateway)


def gateway_is_clean(gateway: Gateway) -> None:
    """Check that no bug was logged and that the last event is `stopped`."""
    assert not any("Traceback" in line for line in gateway.child.errors), gateway.child.errors
    assert not [event for event in gateway.events if event["event"] in ("internal", "worker_lost")]
    assert gateway.events[-1]["event"] == "stopped"
