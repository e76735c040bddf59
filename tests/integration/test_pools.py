"""An upstream of several servers: the dead one is dialled once per pause, and no accepted association is lost.

Rows 96 and 108 of docs/robustness.md.
"""

import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.client import associate, client_context, connect, p_data, release, request
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, mirror
from tests.support.pools import at, pool, server_status
from tests.support.ports import free_port
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.steering import reloaded
from tests.support.wire import Wire

PAUSE = 1.0  # after the first failure, in seconds


def with_pool(site: Site, servers: list[dict[str, Any]], *, workers: int = 1, **upstream: Any) -> dict[str, Any]:
    config = site.one_tenant(1, workers=workers)
    config["upstreams"]["pacs"] = {"servers": servers, **upstream}
    return config


def associated(gateway: Gateway) -> Wire:
    wire = connect(port_of(gateway.config), client_context())
    associate(wire)
    return wire


def failed_dials(gateway: Gateway, port: int) -> float:
    return gateway.metric("upstream_connect_attempts_total", server=f"127.0.0.1:{port}", result="refused")


def test_four_workers_dial_a_dead_server_once_per_pause(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    dead = free_port()
    with Pacs(mirror) as pacs, contextlib.ExitStack() as stack:
        config = with_pool(site, [at(dead), at(pacs.port)], workers=4, balance="first_up")
        gateway = start_gateway(config)
        stack.enter_context(associated(gateway))
        began = time.monotonic()
        for _ in range(24):
            stack.enter_context(associated(gateway))
        # Pauses of 1, 2, 4 ... seconds, and the first dial.
        pauses = 1 + int(time.monotonic() - began + PAUSE)
        assert 1 <= failed_dials(gateway, dead) <= pauses
        assert pacs.dials == 25
        assert gateway.metric("upstream_up", server=f"127.0.0.1:{dead}") == 0
        assert gateway.metric("upstream_up", server=f"127.0.0.1:{pacs.port}") == 1
        assert gateway.get("/readyz")[0] == 200


def test_associations_are_spread_over_all_workers(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    with Pacs(mirror) as one, Pacs(mirror) as other, contextlib.ExitStack() as stack:
        gateway = start_gateway(with_pool(site, [at(one.port, weight=3), at(other.port)], workers=2))
        for _ in range(16):
            stack.enter_context(associated(gateway))
        assert (one.dials, other.dials) == (12, 4)


def test_each_worker_takes_turns_of_its_own_by_the_weights(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    """In round robin the number of open associations plays no part: each is closed before the next one."""
    workers, weights, rounds = 4, (3, 2, 1), 10
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Pacs(mirror)) for _ in weights]
        where = [at(server.port, weight=weight) for server, weight in zip(servers, weights, strict=True)]
        gateway = start_gateway(with_pool(site, where, workers=workers, balance="round_robin"))
        for _ in range(rounds * sum(weights)):
            release(associated(gateway))
        # Of its last round each worker has made a part only, which may be 1.5 from its share.
        for server, weight in zip(servers, weights, strict=True):
            assert abs(server.dials - rounds * weight) <= 1.5 * workers, [one.dials for one in servers]


def test_the_standby_takes_over_and_gives_back(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    with Pacs(mirror) as standby, contextlib.ExitStack() as stack:
        main = Pacs(mirror)
        port = main.port
        gateway = start_gateway(with_pool(site, [at(port), at(standby.port, backup=True)], workers=2))
        with main:
            stack.enter_context(associated(gateway))
            assert (main.dials, standby.dials) == (1, 0)
        kept = stack.enter_context(associated(gateway))
        assert standby.dials == 1
        gateway.wait_for_event("server_down")
        again = stack.enter_context(contextlib.closing(socket.create_server(("127.0.0.1", port))))

        def given_back() -> bool:
            wire = connect(port_of(gateway.config), client_context())
            stack.enter_context(wire)
            wire.send(request())
            again.settimeout(0.2)
            try:
                stack.enter_context(contextlib.closing(again.accept()[0]))
            except TimeoutError:
                return False
            return True

        until(given_back, "the first server is asked again")
        gateway.wait_for_event("server_up")
        kept.send(p_data(b"still served"))
        assert kept.receive_pdu() == p_data(b"still served")


def test_a_server_that_is_taken_out_is_forgotten(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    """The row of a removed server is free for another one; a server that is added again starts from zero."""
    dead = free_port()
    with Pacs(mirror) as pacs:
        both, one = (pool(site, tmp_path, servers, None) for servers in ([at(dead), at(pacs.port)], [at(pacs.port)]))
        gateway = start_gateway(both)
        release(associated(gateway))
        assert server_status(gateway, dead)["state"] == "failing"
        reloaded(gateway, both)
        assert server_status(gateway, dead)["state"] == "failing"
        reloaded(gateway, {**both, "upstreams": one["upstreams"]})
        reloaded(gateway, both)
        assert server_status(gateway, dead)["state"] == "up"
