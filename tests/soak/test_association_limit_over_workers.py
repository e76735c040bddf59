"""`max_associations` holds over all workers and generations, through kills and reloads."""

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.pdu import PduType
from tests.support.attempts import connected
from tests.support.client import associate, client_context, connect, release, request
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, Visit
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.soak import scaled
from tests.support.steering import ask, kill, reloaded, wait_serving, workers
from tests.support.wire import Wire

pytestmark = pytest.mark.slow

LIMIT, WORKERS, AT_ONCE = 5, 4, scaled(100, 200)
ROUNDS = scaled(6, 50)
LIMITS = {"connections_per_address": 1000, "handshakes_per_address": 1000}


class Census:
    """A handler for `Pacs` that knows how many associations are open at once; `most` is the highest number."""

    def __init__(self) -> None:
        self.most = 0
        self._open: set[Visit] = set()
        self._lock = threading.Lock()

    def __call__(self, visit: Visit) -> None:
        with self._lock:
            self._open.add(visit)
            self.most = max(self.most, self._count())
        try:
            visit.accept()
            visit.until_end()
        finally:
            with self._lock:
                self._open.discard(visit)

    def __len__(self) -> int:
        with self._lock:
            return self._count()

    def _count(self) -> int:
        return sum(connected(visit.wire.socket) for visit in self._open)


class Crowd:
    """Open so many connections with TLS; then send all requests at once."""

    def __init__(self, gateway: Gateway, size: int) -> None:
        context = client_context()
        self.wires = [connect(port_of(gateway.config), context) for _ in range(size)]
        self.served: list[Wire] = []
        self.rejected = self.lost = 0

    def ask(self, at_half: Callable[[], None] = lambda: None) -> None:
        for number, wire in enumerate(self.wires):
            if number == len(self.wires) // 2:
                at_half()
            with suppress(ConnectionError):
                wire.send(request())
        for wire in self.wires:
            try:
                answer = wire.receive_pdu()
            except ConnectionError:
                answer = b""
            if answer[:1] == bytes([PduType.A_ASSOCIATE_AC]):
                self.served.append(wire)
                continue
            wire.close()
            if not answer:
                self.lost += 1
            else:
                assert answer[7:10] == bytes((2, 3, 2)), answer.hex()
                self.rejected += 1


def test_never_more_and_exactly_so_many(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    census = Census()
    chance = random.Random(4)
    with Pacs(census) as pacs:
        config = site.one_tenant(
            pacs.port, workers=WORKERS, control=str(tmp_path / "control.sock"), limits=LIMITS, timeouts={"drain": "30s"}
        )
        config["tenants"]["hospital"]["max_associations"] = LIMIT
        gateway = start_gateway(config)
        for round in range(ROUNDS):
            crowd = Crowd(gateway, AT_ONCE)
            kills, reloads = round % 2 == 1, round % 3 == 2
            victim = chance.choice(workers(gateway))

            def disturb(kills: bool = kills, reloads: bool = reloads, victim: int = victim) -> None:
                if kills:
                    kill(victim)
                if reloads:
                    reloaded(gateway)

            crowd.ask(disturb)
            assert kills or (len(crowd.served), crowd.rejected) == (LIMIT, AT_ONCE - LIMIT), vars(crowd)
            if kills:  # the victim's associations are gone, and there is room for others again
                until(lambda victim=victim: victim not in workers(gateway), "the victim is gone")
                until(lambda: len(ask(gateway, "status")["associations"]) == len(census), "its records are written")
                alive = [wire for wire in crowd.served if connected(wire.socket)]
                held = len(alive)
                for wire in crowd.served:
                    if wire not in alive:
                        wire.close()
                assert held <= LIMIT
                second = Crowd(gateway, 20)
                second.ask()
                assert (len(second.served), second.lost) == (LIMIT - held, 0), f"{held} were held"
                crowd.served = [*alive, *second.served]
            assert len(census) == len(crowd.served) == LIMIT
            for wire in crowd.served:
                release(wire)
            until(lambda: len(census) == 0 == gateway.metric("associations_active"), "all are released")
            wait_serving(gateway, WORKERS)
        assert census.most == LIMIT
        assert gateway.metric("association_refusals_total", reason="association_limit") > 0
        associate(connect(port_of(gateway.config), client_context())).close()
