"""Devices that close right after their A-RELEASE-RQ: a normal end, and the answer still goes back."""

from collections.abc import Callable

import pytest

from proxy.pdu import PduType, encode_release_rq
from tests.support.client import associate, client_context, connect, p_data
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, Visit, sink
from tests.support.pdus import encode_release_rp
from tests.support.site import Site, port_of
from tests.support.wire import END, Wire


def associated(gateway: Gateway) -> Wire:
    return associate(connect(port_of(gateway.config), client_context()))


def both_closes(wire: Wire) -> None:
    wire.close_notify()
    wire.fin()


@pytest.mark.parametrize("half_close", [Wire.fin, Wire.close_notify, both_closes])
def test_the_answer_comes_back_through_a_half_closed_connection(
    half_close: Callable[[Wire], None], site: Site, start_gateway: Callable[..., Gateway]
) -> None:
    """P-DATA may still come between the A-RELEASE-RQ and its answer (PS3.8 section 9.2, Sta7)."""
    last_words = p_data(b"last words")

    def release(visit: Visit) -> None:
        visit.accept()
        assert visit.wire.receive_pdu() == encode_release_rq()
        assert visit.wire.receive_pdu() == END  # the half-close is passed on
        visit.wire.send(last_words + encode_release_rp())
        visit.ended = "released"

    with Pacs(release) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port))
        with associated(gateway) as wire:
            wire.send(encode_release_rq())
            half_close(wire)
            assert wire.receive_pdu() == last_words
            assert wire.receive_pdu() == encode_release_rp()
            assert wire.receive_pdu() == END and wire.peer_closed_tls
            assert pacs.ended().ended == "released"
            assert gateway.wait_for_record()["ended"] == "released"


@pytest.mark.parametrize("leave", [Wire.close, Wire.reset])
def test_a_device_that_is_gone_at_once_has_released(
    leave: Callable[[Wire], None], site: Site, start_gateway: Callable[..., Gateway]
) -> None:
    with Pacs(sink) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port))
        wire = associated(gateway)
        wire.send(p_data(b"one") + encode_release_rq())
        pacs.visit()
        leave(wire)
        assert gateway.wait_for_record()["ended"] == "released"
        assert pacs.ended().pdus == [p_data(b"one"), encode_release_rq()]
        gateway.check_healthy()


def test_both_sides_ask_for_release_at_once(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    """PS3.8 section 9.2, the release collision: each side answers the other's request."""

    def collide(visit: Visit) -> None:
        visit.accept()
        visit.wire.send(encode_release_rq())
        visit.pdus = [visit.wire.receive_pdu(), visit.wire.receive_pdu()]
        visit.wire.send(encode_release_rp())

    with Pacs(collide) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port))
        with associated(gateway) as wire:
            assert wire.receive_pdu()[0] == PduType.A_RELEASE_RQ
            wire.send(encode_release_rq())
            wire.send(encode_release_rp())
            assert wire.receive_pdu() == encode_release_rp()
            assert pacs.ended().pdus == [encode_release_rq(), encode_release_rp()]
        assert gateway.wait_for_record()["ended"] == "released"
