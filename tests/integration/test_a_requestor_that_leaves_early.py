"""Between its request and the answer the requestor may only leave; the gateway notices at once, also while it dials."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.pdu import encode_abort, encode_release_rq
from tests.support.client import client_context, connect, p_data, request
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, Visit
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.wire import END, Wire


def abort(wire: Wire) -> None:
    wire.send(encode_abort(0, 0))


LEAVE = [abort, Wire.close, Wire.reset, Wire.close_notify]


@contextlib.contextmanager
def never_accepting() -> Iterator[int]:
    """A port whose queue is full: a SYN is dropped there, so a connect goes on for ever."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        yield int(listening.getsockname()[1])


@pytest.mark.parametrize("leave", LEAVE)
def test_while_the_gateway_dials(
    leave: Callable[[Wire], None], site: Site, start_gateway: Callable[..., Gateway]
) -> None:
    with never_accepting() as port:
        gateway = start_gateway(site.one_tenant(port, timeouts={"upstream_connect": "60s"}))
        before = dialling(port)
        wire = connect(port_of(gateway.config), client_context())
        wire.send(request())
        until(lambda: dialling(port) > before, "the gateway dials")
        leave(wire)
        record = gateway.wait_for_record(timeout=5)
        assert record["reason"] == "requestor_gone"
        until(lambda: dialling(port) == before, "the dial is given up", 5)
        wire.close()


def dialling(port: int) -> int:
    """The number of sockets of this machine in SYN-SENT towards the port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "02" for row in rows)


@pytest.mark.parametrize("leave", LEAVE)
def test_while_the_pacs_thinks(
    leave: Callable[[Wire], None], site: Site, start_gateway: Callable[..., Gateway]
) -> None:
    """The PACS gets an A-ABORT, nothing else, and no answer of its is taken for a success."""

    def think(visit: Visit) -> None:
        visit.request = visit.wire.receive_pdu()
        visit.until_end()

    with Pacs(think) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port))
        wire = connect(port_of(gateway.config), client_context())
        wire.send(request())
        until(lambda: pacs.visit().request, "the PACS has the request")
        leave(wire)
        assert pacs.ended().pdus == [encode_abort(2, 0)]
        assert gateway.wait_for_record()["reason"] == "requestor_gone"
        wire.close()


@pytest.mark.parametrize("early", [p_data(b"early"), request(), encode_release_rq()])
def test_anything_else_is_an_abort_and_goes_nowhere(
    early: bytes, site: Site, start_gateway: Callable[..., Gateway]
) -> None:
    def think(visit: Visit) -> None:
        visit.request = visit.wire.receive_pdu()
        visit.until_end()

    with Pacs(think) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port))
        with connect(port_of(gateway.config), client_context()) as wire:
            wire.send(request())
            until(lambda: pacs.visit().request, "the PACS has the request")
            wire.send(early)
            assert wire.receive_pdu() == encode_abort(2, 2)
            assert wire.receive_pdu() == END
        assert pacs.ended().pdus == [encode_abort(2, 0)]
        assert gateway.wait_for_record()["reason"] == "pdu_unexpected"
