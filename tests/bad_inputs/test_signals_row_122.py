"""Row 122: signals that come with dead peers and dead children. None ends the gateway, and no zombie stays."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.pdu import encode_release_rq
from tests.support.archive import Archive
from tests.support.attempts import CUT, echo_once, seconds_to_be_served
from tests.support.client import associate, client_context, connect, echo, p_data, release
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.steering import kill, reloaded, state, wait_serving, workers


@pytest.fixture
def gateway(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> Iterator[Gateway]:
    with Pacs(Archive()) as pacs:
        yield start_gateway(site.one_tenant(pacs.port, workers=2, control=str(tmp_path / "control.sock")))


def zombies(gateway: Gateway) -> list[int]:
    return [pid for pid in gateway.child.family()[1:] if state(pid) == "Z"]


def test_row_122_sigpipe(gateway: Gateway) -> None:
    """Peers that reset while they are written to, a control client that does not wait, and the signal itself."""
    port, context = port_of(gateway.config), client_context()
    running = workers(gateway)
    for pid in (gateway.pid, *running):
        os.kill(pid, signal.SIGPIPE)
    for _ in range(20):
        wire = associate(connect(port, context))
        wire.send(p_data(b"x" * 1000) + encode_release_rq())
        wire.reset()
    echo_once(port, context)
    assert workers(gateway) == running
    until(lambda: gateway.metric("connections_active") == 0, "all is closed")


@pytest.mark.slow
def test_row_122_children_that_die_together(gateway: Gateway) -> None:
    """Kill all workers at once, repeatedly, while other children end as well; and workers of old generations."""
    port, context = port_of(gateway.config), client_context()
    lost = 0
    for _ in range(5):
        wait_serving(gateway, 2)
        dying = workers(gateway)
        for pid in dying:
            os.kill(gateway.pid, signal.SIGCHLD)
            kill(pid)
        lost += len(dying)
        until(lambda gone=set(dying): not gone & set(workers(gateway)), "they are gone")
    until(lambda: len([event for event in gateway.events if event["event"] == "worker_lost"]) == lost, "each is told")
    seconds_to_be_served(port, context)
    for _ in range(3):
        with associate(connect(port, context)) as wire:
            old = workers(gateway)
            reloaded(gateway)
            for pid in old:  # one of them may just be ending by itself
                kill(pid)
            with pytest.raises(CUT):
                echo(wire)
    wait_serving(gateway, 2)
    until(lambda: not zombies(gateway), "none is left")
    assert len(gateway.child.family()) == 3
    wire = associate(connect(port, context))
    echo(wire)
    release(wire)
