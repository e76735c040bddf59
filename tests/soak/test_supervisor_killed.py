"""`kill -9` of the supervisor under load: the addresses are free at once, and what was open is served to its end.

Row 118 of docs/robustness.md.
"""

import threading
from collections.abc import Callable
from pathlib import Path

from tests.support.archive import Archive, Instance, instance, store
from tests.support.attempts import CUT, attempt, echo_once
from tests.support.client import associate, client_context, connect, release
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs
from tests.support.processes import PATIENCE, until
from tests.support.site import Site, port_of
from tests.support.steering import kill, state, workers

SENDERS = 4


class Sender(threading.Thread):
    """Stores on one association after the other until it is stopped; failed stores are repeated."""

    def __init__(self, port: int, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.told: list[Instance] = []
        self._port, self._over = port, over
        self._context = client_context()

    def run(self) -> None:
        while not self._over.is_set():
            try:
                with attempt(self._port, self._context) as wire:
                    one = instance()
                    store(wire, one)
                    self.told.append(one)
                    release(wire)
            except CUT:
                continue


def test_the_next_start_binds_at_once(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    archive = Archive()
    with Pacs(archive) as pacs:
        config = site.one_tenant(pacs.port, workers=2, control=str(tmp_path / "control.sock"), timeouts={"drain": "5m"})
        port = port_of(config)
        first = Gateway(tmp_path / "first", config)
        over = threading.Event()
        senders = [Sender(port, over) for _ in range(SENDERS)]
        try:
            old = associate(connect(port, client_context()), calling="OLD")
            for sender in senders:
                sender.start()
            until(lambda: len(archive.stored) > SENDERS, "instances flow")
            left = workers(first)
            assert len(left) == 2
            kill(first.pid)
            first.child.process.wait(PATIENCE)
            second = start_gateway(config)  # the same port, the same admin address, the same control socket
            echo_once(port, client_context())
            stored = len(archive.stored)
            until(lambda: len(archive.stored) > stored + SENDERS, "instances flow through the next one")
            one = instance()
            store(old, one)  # a worker without its supervisor still serves its open associations
            release(old)
            until(lambda: not any(state(pid) for pid in left), "the workers of the first are gone")
        finally:
            over.set()
            for sender in senders:
                if sender.is_alive():
                    sender.join(2 * PATIENCE)
            first.child.end()
        archive.check([one, *(told for sender in senders for told in sender.told)])
        until(lambda: second.metric("connections_active") == 0, "all connections are closed")
