"""Reload after reload while associations are opened and instances sent: no sender notices.

Row 127 of docs/robustness.md.
"""

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad_inputs.hostile import TlsPeer
from tests.support.archive import Archive, Instance, instance, store
from tests.support.attempts import attempt
from tests.support.client import associate, client_context, connect, echo, release, request
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs
from tests.support.processes import PATIENCE, until
from tests.support.site import HOST, Site, port_of
from tests.support.soak import scaled
from tests.support.steering import reloaded, wait_serving

pytestmark = pytest.mark.slow

RELOADS = scaled(8, 100)
RATE = 50  # associations a second
LEAST = scaled(5, RATE // 2)  # of them; two cores may be shared with much else
OPENERS, SENDERS = 4, 2
BATCH = 4  # instances on one association
LIMITS = {"connections_per_address": 500, "handshakes_per_address": 500}


class Load:
    """Threads that open associations and store instances until they are stopped; failures are kept."""

    def __init__(self, port: int) -> None:
        self.opened = 0
        self.told: list[Instance] = []
        self.failures: list[str] = []
        self._port = port
        self._context = client_context()
        self._over = threading.Event()
        self._began = time.monotonic()
        self._turns = itertools.count()
        self._threads = [threading.Thread(target=self._run, args=(self._open,), daemon=True) for _ in range(OPENERS)]
        self._threads += [threading.Thread(target=self._run, args=(self._store,), daemon=True) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> float:
        """End the load; return the opened associations per second."""
        self._over.set()
        for thread in self._threads:
            thread.join(3 * PATIENCE)
        return self.opened / (time.monotonic() - self._began)

    def _run(self, turn: Callable[[], None]) -> None:
        while not self._over.is_set():
            try:
                turn()
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")

    def _open(self) -> None:
        self._over.wait(max(0.0, self._began + next(self._turns) / RATE - time.monotonic()))
        with attempt(self._port, self._context) as wire:
            echo(wire)
            release(wire)
        self.opened += 1

    def _store(self) -> None:
        with attempt(self._port, self._context, "SENDER") as wire:
            for number in range(BATCH):
                one = instance()
                store(wire, one, number + 1)
                self.told.append(one)
            release(wire)


def test_nothing_fails_and_nothing_is_altered(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    archive = Archive()
    with Pacs(archive) as pacs:
        control = str(tmp_path / "control.sock")
        gateway = start_gateway(site.one_tenant(pacs.port, workers=2, control=control, limits=LIMITS))
        old = associate(connect(port_of(gateway.config), client_context()), calling="OLD")
        load = Load(port_of(gateway.config))
        try:
            for number in range(RELOADS):
                reloaded(gateway)
                if number % 10 == 9:  # the PACS of the tests has not the patience for silence all the while
                    echo(old)
        finally:
            rate = load.stop()
        assert load.failures == []
        assert rate > LEAST and len(load.told) >= RELOADS, f"{rate:.0f} associations/s, {len(load.told)} instances"
        archive.check(load.told)
        echo(old)  # older than timeouts.drain, and of the first generation
        release(old)
        wait_serving(gateway, 2)
        assert gateway.metric("config_reloads_total", result="ok") == RELOADS
        associations = 1 + load.opened + len(load.told) // BATCH
        until(lambda: len(gateway.records) >= associations, "all records are written")
        ends = [record["ended"] for record in gateway.records]
        assert set(ends) == {"released"} and len(ends) == associations


def test_two_at_once_are_serialised_and_none_is_lost(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    """Dozens of SIGHUPs: the last one comes after the last change, so that change serves."""
    with Pacs(Archive()) as pacs:
        control = str(tmp_path / "control.sock")
        gateway = start_gateway(site.one_tenant(pacs.port, workers=1, control=control))
        for _ in range(30):
            os.kill(gateway.pid, signal.SIGHUP)
        threads = [threading.Thread(target=reloaded, args=(gateway,), daemon=True) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(3 * PATIENCE)
            assert not thread.is_alive(), "a reload is not answered"
        reloaded(gateway)
        wait_serving(gateway, 1)
        assert 2 <= gateway.metric("config_reloads_total", result="ok") <= 36
        assert not [event for event in gateway.events if event["event"] == "reload_failed"]
        wire = associate(connect(port_of(gateway.config), client_context()))
        echo(wire)
        release(wire)


def test_what_was_half_read_is_served_by_the_old_generation(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    """A ClientHello, a handshake and a request that a reload finds half done are done to the end."""
    with Pacs(Archive()) as pacs:
        control = str(tmp_path / "control.sock")
        gateway = start_gateway(site.one_tenant(pacs.port, workers=2, control=control))
        peers = [TlsPeer(port_of(gateway.config), "127.0.0.1", server_name=HOST) for _ in range(12)]
        hellos = [peer.hello() for peer in peers]
        asked = request()
        for number, (peer, hello) in enumerate(zip(peers, hellos, strict=True)):
            stage = number % 3
            peer.send_wire(hello[:100] if stage == 0 else hello)
            if stage == 2:
                assert peer.handshake()
                peer.send(asked[:100])
        until(lambda: gateway.metric("connections_active") == len(peers), "all are accepted")
        reloaded(gateway)
        for number, (peer, hello) in enumerate(zip(peers, hellos, strict=True)):
            stage = number % 3
            if stage == 0:
                peer.send_wire(hello[100:])
            if stage < 2:
                assert peer.handshake()
            peer.associate(asked[100:] if stage == 2 else asked)
            peer.release()
        wait_serving(gateway, 2)
