"""`kill -9` of workers during C-STOREs: instances with status 0000H are stored, and service is back at once."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.archive import Archive, Instance, instance, store
from tests.support.attempts import CUT, attempt, seconds_to_be_served
from tests.support.client import associate, client_context, connect, release
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs
from tests.support.processes import PATIENCE, until
from tests.support.site import Site, port_of
from tests.support.soak import scaled
from tests.support.steering import kill, wait_serving, workers

pytestmark = pytest.mark.slow

KILLS = scaled(5, 50)
WORKERS, SENDERS = 2, 8
BATCH = 4  # instances on one association
LIVED = 1.2  # seconds after which the end of a worker is no failed start any more
BACK = scaled(2.0, 0.5)  # seconds until associations are served again; two cores may be shared with much else
LIMITS = {"connections_per_address": 500, "handshakes_per_address": 500}


class Sender(threading.Thread):
    """Stores instances one by one and repeats those without an answer. Each association has its own title."""

    def __init__(self, number: int, port: int, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.told: list[Instance] = []
        self.cut: list[str] = []  # calling AE titles of associations that were established, and cut
        self.finished: list[str] = []  # and of those, the released ones
        self._number = number
        self._port = port
        self._over = over
        self._context = client_context()
        self._unanswered = instance()

    def run(self) -> None:
        turn = 0
        while not self._over.is_set():
            turn += 1
            self._associate(f"SENDER{self._number}-{turn}")

    def _associate(self, calling: str) -> None:
        try:
            wire = attempt(self._port, self._context, calling)
        except CUT:
            return
        try:
            for number in range(BATCH):
                store(wire, self._unanswered, number + 1)
                self.told.append(self._unanswered)
                self._unanswered = instance()
            release(wire)
        except CUT:
            self.cut.append(calling)
        else:
            self.finished.append(calling)
        finally:
            wire.close()


def test_stored_means_stored(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    archive, chance = Archive(), random.Random(9)
    with Pacs(archive) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port, workers=WORKERS, limits=LIMITS))
        port = port_of(gateway.config)
        context = client_context()
        over = threading.Event()
        senders = [Sender(number, port, over) for number in range(SENDERS)]
        for sender in senders:
            sender.start()
        away = []
        try:
            for _ in range(KILLS):
                stored = len(archive.stored)
                until(lambda stored=stored: len(archive.stored) >= stored + SENDERS, "instances flow")
                kill(chance.choice(workers(gateway)))
                away.append(seconds_to_be_served(port, context))
                wait_serving(gateway, WORKERS)
        finally:
            over.set()
            for sender in senders:
                sender.join(2 * PATIENCE)
        told = [one for sender in senders for one in sender.told]
        assert len(told) > KILLS * SENDERS
        archive.check(told)
        assert max(away) <= BACK, away
        check_records(gateway, senders)
        until(lambda: gateway.metric("connections_active") == 0, "nothing is left behind")
        until(lambda: lost_workers(gateway) >= KILLS, "each is told")
        assert lost_workers(gateway) == KILLS


def lost_workers(gateway: Gateway) -> int:
    return Counter(event["event"] for event in gateway.events)["worker_lost"]


def check_records(gateway: Gateway, senders: list[Sender]) -> None:
    """Check that each association has one record; cut ones were lost with their worker."""
    cut = {calling for sender in senders for calling in sender.cut}
    finished = {calling for sender in senders for calling in sender.finished}
    assert cut, "no association was cut: nothing was proved"

    def ends() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for record in gateway.records:
            if record["decision"] == "accepted":
                found.setdefault(record["calling_aet"], []).append(record["ended"])
        return found

    until(lambda: cut | finished <= ends().keys(), "every association has its record")
    found = ends()
    assert {calling: found[calling] for calling in cut} == {calling: ["worker_lost"] for calling in cut}
    # A worker killed between the A-RELEASE-RP and the record cannot record that the association was released.
    odd = {calling: found[calling] for calling in finished if found[calling] not in (["released"], ["worker_lost"])}
    assert odd == {}


def test_the_only_worker(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    """Connections wait in the queue of the listening socket until the next worker takes them."""
    with Pacs(Archive()) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port, workers=1))
        port = port_of(gateway.config)
        context = client_context()
        away = []
        for _ in range(3):
            old = workers(gateway)
            wire = associate(connect(port, context), calling="IDLE")
            served = time.monotonic()
            until(lambda served=served: time.monotonic() > served + LIVED, "the worker did not die at its start")
            kill(old[0])
            away.append(seconds_to_be_served(port, context))
            assert wire.receive_all() == b""
            wire.close()
            wait_serving(gateway, 1)
        assert min(away) <= BACK and max(away) <= 3 * BACK, away

        def lost() -> list[str]:
            return [record["ended"] for record in gateway.records if record["calling_aet"] == "IDLE"]

        until(lambda: len(lost()) == 3, "every association has its record")
        assert lost() == ["worker_lost"] * 3
