"""An association between a requestor and a PACS on loopback, where something fails on the way to its relay."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.net import established
from proxy.net.worker import Worker
from proxy.pdu import PduType, encode_associate_rq
from proxy.shared.counts import Counts, table_for
from proxy.shared.probes import Probes
from proxy.shared.server_states import ServerStates
from tests.support.configs import PLAIN, load_text
from tests.support.pacs import Visit, pacs
from tests.unit.net.test_worker import Journal

REQUEST = encode_associate_rq("MAINPACS", "CT1", [(1, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",))])


@contextlib.asynccontextmanager
async def gateway(folder: Path, port: int) -> AsyncIterator[tuple[Worker, tuple[str, int]]]:
    """A worker before the PACS on `port`, and the address where it listens."""
    config = load_text(folder, PLAIN.replace("10.20.0.5:104", f"127.0.0.1:{port}")).config
    assert config is not None
    with socket.create_server(("127.0.0.1", 0)) as listening:
        table = table_for(config.limits, tuple(config.tenants.values()), 1)
        counts, states = Counts(config.limits, table, 0, (0,)), ServerStates(table)
        worker = Worker(config, {}, {}, {"plain": [listening]}, Journal(), counts, states, Probes(table))
        worker.start()
        try:
            yield worker, listening.getsockname()
        finally:
            await worker.stop()


async def answer(address: tuple[str, int]) -> bytes:
    """All that a requestor receives until the gateway closes."""
    loop, received = asyncio.get_running_loop(), b""
    with socket.create_connection(address) as sock:
        sock.setblocking(False)
        await loop.sock_sendall(sock, REQUEST)
        while data := await loop.sock_recv(sock, 65536):
            received += data
    return received


def gauge(worker: Worker, name: str) -> float:
    return sum(value for _, value in worker.station.metrics.snapshot()[name] if isinstance(value, float | int))


async def test_a_relay_that_cannot_be_built_is_a_refusal_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never an A-ASSOCIATE-AC first; and nothing stays counted."""

    def fail(*_: object) -> None:
        raise MemoryError

    def accept(visit: Visit) -> None:
        visit.accept()
        visit.until_end()

    monkeypatch.setattr(established, "inspection_of", fail)
    with pacs(accept) as server:
        async with gateway(tmp_path, server.port) as (worker, address):
            received = await answer(address)
            assert received[0] == PduType.A_ASSOCIATE_RJ
            assert received[7:10] == bytes((2, 3, 1))
            assert gauge(worker, "associations_active") == gauge(worker, "upstream_associations_active") == 0
