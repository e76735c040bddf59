"""A server that accepts connections and sends nothing, in a pool; and a pool without a server that works.

Without a health check only an association can notice the hanging server: each one that is sent there is refused as
`upstream_timeout` after `upstream_accept`, and no other server gets its request, for the first may have acted on it.
It counts for that server while it waits, so `least_associations` sends the next ones elsewhere; one in so many
still goes there, each time the others have as many. With a check the server is down, and no association waits.

Rows 96 to 98 of docs/robustness.md.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.pdu import encode_associate_rj
from tests.bad_inputs.faulty_listeners import FullBacklog
from tests.support.archive import Archive
from tests.support.client import associate, client_context, connect, request
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs
from tests.support.pools import at, checks, echo_check, pool, silent, wait_told
from tests.support.ports import free_port
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.wire import Wire

UNAVAILABLE = encode_associate_rj(2, 3, 1)
ACCEPT, CONNECT, SOON = 1.5, 2.0, 1.0  # seconds: upstream_accept, upstream_connect, and the issue's own bound
TIMEOUTS = {"upstream_accept": f"{ACCEPT * 1000:.0f}ms", "upstream_connect": f"{CONNECT * 1000:.0f}ms"}


def asking(gateway: Gateway, calling: str = "CT1") -> Wire:
    wire = connect(port_of(gateway.config), client_context())
    wire.send(request(calling=calling))
    return wire


def test_without_a_check_one_waits_and_the_others_are_led_away(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    with Pacs(silent) as hangs, Pacs(Archive()) as good, contextlib.ExitStack() as stack:
        upstream = {"balance": "least_associations"}
        config = pool(site, tmp_path, [at(hangs.port), at(good.port)], None, upstream=upstream, timeouts=TIMEOUTS)
        gateway = start_gateway(config)
        asked = time.monotonic()
        waiting = stack.enter_context(asking(gateway, "WAITING"))
        hangs.visit()
        stack.enter_context(associate(connect(port_of(gateway.config), client_context()), calling="FIRST"))
        # One each by now. Short associations in between go to the server whose turn it is: count only those that stay.
        assert (hangs.dials, good.dials) == (1, 1)
        assert waiting.receive_pdu() == UNAVAILABLE
        assert ACCEPT * 0.9 < time.monotonic() - asked < ACCEPT + SOON
        record = gateway.wait_for_record(lambda record: record["calling_aet"] == "WAITING")
        assert (record["reason"], record["server"]) == ("upstream_timeout", f"127.0.0.1:{hangs.port}")
        assert (hangs.dials, good.dials) == (1, 1), "the request went to nobody else"


def test_with_a_check_nobody_waits(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    with Pacs(silent) as hangs, Pacs(Archive()) as good, contextlib.ExitStack() as stack:
        upstream, check = {"balance": "least_associations"}, echo_check(timeout="300ms")
        config = pool(site, tmp_path, [at(hangs.port), at(good.port)], check, upstream=upstream, timeouts=TIMEOUTS)
        gateway = start_gateway(config)
        wait_told(gateway, "server_down", hangs.port)
        until(lambda: checks(gateway, good.port, result="ok") >= 1, "the other one is checked")
        for number in range(8):
            wire = connect(port_of(gateway.config), client_context())
            stack.enter_context(associate(wire, calling=f"CT{number}"))
        assert sum(visit.request[26:28] == b"CT" for visit in good.visits) == 8


@pytest.mark.parametrize("check", [None, echo_check(timeout="300ms")], ids=["unchecked", "checked"])
def test_no_server_is_left_and_connections_are_refused(
    check: dict[str, object] | None, site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    """Each worker refuses the first and all later ones within a second."""
    ports = [free_port(), free_port()]
    gateway = start_gateway(pool(site, tmp_path, [at(port) for port in ports], check, workers=2, timeouts=TIMEOUTS))
    if check is not None:
        for port in ports:
            wait_told(gateway, "server_down", port)
    for _ in range(5):  # so many records of one reason each worker writes at once
        asked = time.monotonic()
        with asking(gateway) as wire:
            assert wire.receive_pdu() == UNAVAILABLE
        assert time.monotonic() - asked < SOON
    until(lambda: len(gateway.records) == 5, "every refusal has its record")
    assert {record["reason"] for record in gateway.records} == {"upstream_unavailable"}


def test_no_server_is_left_and_nothing_answers(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    """The first is refused after `upstream_connect`, for all servers together; the next ones at once."""
    with contextlib.ExitStack() as stack:
        holes = [stack.enter_context(contextlib.closing(FullBacklog())) for _ in range(2)]
        gateway = start_gateway(pool(site, tmp_path, [at(hole.port) for hole in holes], None, timeouts=TIMEOUTS))
        asked = time.monotonic()
        with asking(gateway) as wire:
            assert wire.receive_pdu() == UNAVAILABLE
        assert CONNECT * 0.9 < time.monotonic() - asked < CONNECT + SOON
        asked = time.monotonic()
        with asking(gateway, "NEXT") as wire:
            assert wire.receive_pdu() == UNAVAILABLE
        assert time.monotonic() - asked < CONNECT + SOON
        records = [gateway.wait_for_record(), gateway.wait_for_record(lambda record: record["calling_aet"] == "NEXT")]
        assert [record["reason"] for record in records] == ["upstream_unavailable"] * 2


def test_checks_find_a_black_hole_before_anybody_waits(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    with contextlib.closing(FullBacklog()) as hole, Pacs(Archive()) as good:
        check = echo_check(timeout="300ms")
        gateway = start_gateway(pool(site, tmp_path, [at(hole.port), at(good.port)], check, timeouts=TIMEOUTS))
        assert wait_told(gateway, "server_down", hole.port)["message"].endswith("(connect)")
        asked = time.monotonic()
        for _ in range(8):
            with associate(connect(port_of(gateway.config), client_context())):
                pass
        assert time.monotonic() - asked < SOON
