"""A process with few descriptors refuses the connections that it cannot carry, and serves again when there is room.

Row 112 of docs/robustness.md.
"""

import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial

from tests.support.client import associate, client_context, connect, echo, release, request
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, Visit, mirror
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.wire import Wire

FEW = 64
MANY = 150


def test_it_never_runs_out(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    with Pacs(mirror) as pacs:
        config = site.one_tenant(pacs.port)
        gateway = start_gateway(config, launcher=("prlimit", f"--nofile={FEW}"))
        assert gateway.wait_for_event("connections_capped")
        context = client_context()
        served: list[Wire] = []
        for _ in range(MANY):
            wire = connect(port_of(config))
            try:
                wire.start_tls(context)
                associate(wire)
            except (ConnectionError, AssertionError):
                wire.close()
            else:
                served.append(wire)
        assert 10 <= len(served) < FEW / 2
        assert max(gateway.child.descriptors_of_each()) < FEW
        assert gateway.get("/readyz")[0] == 200  # the admin address keeps its own
        assert gateway.metric("connections_rejected_total", reason="connection_limit") >= MANY - FEW
        assert not [event for event in gateway.events if event["event"] == "accept_paused"]
        assert len([record for record in gateway.records if record["decision"] == "refused"]) < MANY / 2
        for wire in served:
            release(wire)
        until(lambda: gateway.metric("connections_active") == 0, "all connections are closed")
        for _ in range(20):
            wire = associate(connect(port_of(config), context))
            echo(wire)
            release(wire)
        gateway.check_healthy()


def test_a_server_that_does_not_close_takes_none_from_others(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    """A sender that leaves at once still counts while its association has a connection to the upstream."""
    over = threading.Event()

    def silent(visit: Visit) -> None:
        visit.wire.receive_pdu()
        over.wait()

    with Pacs(silent) as pacs, ExitStack() as at_the_end:
        at_the_end.callback(over.set)
        config = site.one_tenant(pacs.port)
        listener = config["listeners"]["dicom-tls"]
        del listener["tls"]
        listener["tenants"] = ["hospital"]
        gateway = start_gateway(config, launcher=("prlimit", f"--nofile={FEW}"))

        def dealt_with(asked: int) -> bool:
            return len(pacs.visits) > asked or gateway.metric("connections_rejected_total") > 0

        for _ in range(FEW):
            asked = len(pacs.visits)
            with suppress(ConnectionError), connect(port_of(config)) as wire:
                wire.send(request())
                until(partial(dealt_with, asked), "the upstream is asked, or there is no room")
            assert max(gateway.child.descriptors_of_each()) < FEW
        assert gateway.metric("connections_rejected_total", reason="connection_limit")
        over.set()
        until(lambda: gateway.metric("connections_active") == 0, "all connections are closed")
        gateway.check_healthy()
