"""A PACS that refuses, dies or misbehaves: the sender gets the true reason at once, and never a success.

Rows 101 and 104 of docs/robustness.md.
"""

import os
import shlex
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.pdu import (
    PduType,
    encode_abort,
    encode_associate_rj,
    encode_p_data,
)
from tests.support.client import COMMAND_END, CONTEXTS, associate, client_context, connect, p_data, request
from tests.support.gateway import Gateway
from tests.support.namespaces import mounted
from tests.support.pacs import Handler, Pacs, Visit
from tests.support.ports import free_port
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.wire import END, Wire

HEADERS = 12  # of a P-DATA-TF and its first PDV (PS3.8 Tables 9-22 and 9-23)
UNAVAILABLE = encode_associate_rj(2, 3, 1)


def ask(gateway: Gateway) -> Wire:
    wire = connect(port_of(gateway.config), client_context())
    wire.send(request())
    return wire


def read_request(visit: Visit) -> None:
    visit.request = visit.wire.receive_pdu()


def reset_at_once(visit: Visit) -> None:
    visit.wire.reset()


def reset_behind_the_request(visit: Visit) -> None:
    read_request(visit)
    visit.wire.reset()


def close_behind_the_request(visit: Visit) -> None:
    read_request(visit)


def half_an_answer(visit: Visit) -> None:
    read_request(visit)
    visit.wire.send(b"\x02\x00\x00\x00\x00\xb8\x00\x01")


def data_before_the_answer(visit: Visit) -> None:
    read_request(visit)
    visit.wire.send(p_data(b"too early"))
    visit.until_end()


def nonsense(visit: Visit) -> None:
    read_request(visit)
    visit.wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    visit.until_end()


def tls_alert(visit: Visit) -> None:
    read_request(visit)
    visit.wire.send(b"\x15\x03\x01\x00\x02\x02\x46")
    visit.until_end()


@pytest.mark.parametrize(
    ("handler", "reason", "words"),
    [
        (reset_at_once, "upstream_unavailable", "upstream"),
        (reset_behind_the_request, "upstream_unavailable", "ended the connection"),
        (
            close_behind_the_request,
            "upstream_unavailable",
            "closed; if the server expects TLS, configure `tls` for this upstream",
        ),
        (half_an_answer, "upstream_unavailable", "ended the connection"),
        (data_before_the_answer, "upstream_protocol_error", "PDU type 04H"),
        (nonsense, "upstream_protocol_error", "it begins with b'HTTP/1.1 400 Bad'"),
        (tls_alert, "upstream_protocol_error", "the peer speaks TLS here"),
    ],
)
def test_no_answer_is_temporary_congestion(
    handler: Handler, reason: str, words: str, site: Site, start_gateway: Callable[..., Gateway]
) -> None:
    with Pacs(handler) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port))
        with ask(gateway) as wire:
            assert wire.receive_pdu() == UNAVAILABLE
            assert wire.receive_pdu() == END
        record = gateway.wait_for_record()
        assert (record["reason"], record["decision"]) == (reason, "refused")
        assert words in record["detail"]
        assert pacs.dials == 1
        if reason == "upstream_protocol_error":
            assert pacs.ended().ended == "abort"


def test_nobody_listens(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway(site.one_tenant(free_port()))
    with ask(gateway) as wire:
        assert wire.receive_pdu() == UNAVAILABLE
    assert "Connection refused" in gateway.wait_for_record()["detail"]


def test_a_name_service_that_says_nothing_is_told(
    site: Site, start_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    """The gateway is short of descriptors: the reason must not name the PACS."""
    hosts, files = tmp_path / "hosts", tmp_path / "nsswitch.conf"
    os.mkfifo(hosts)  # opening it blocks until there is a writer
    files.write_text("hosts: files\n")
    mounts = {hosts: "/etc/hosts", files: "/etc/nsswitch.conf"}
    launcher = mounted(*(f"mount --bind {shlex.quote(str(file))} {place}" for file, place in mounts.items()))
    upstream = {"servers": [{"address": "pacs.test:104"}]}
    gateway = start_gateway(site.one_tenant(upstream, timeouts={"upstream_connect": "500ms"}), launcher=launcher)
    with ask(gateway) as wire:
        assert wire.receive_pdu() == UNAVAILABLE
    record = gateway.wait_for_record()
    assert record["reason"] == "upstream_unavailable"
    assert record["detail"] == "upstream pacs: pacs.test:104: no answer of the name service in 0.5 s"
    assert gateway.metric("upstream_connect_attempts_total", result="dns") == 1


def test_a_pacs_that_never_answers(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    def silent(visit: Visit) -> None:
        read_request(visit)
        visit.until_end()

    with Pacs(silent) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port, timeouts={"upstream_accept": "200ms"}))
        with ask(gateway) as wire:
            assert wire.receive_pdu() == UNAVAILABLE
        assert gateway.wait_for_record()["reason"] == "upstream_timeout"
        assert pacs.ended().ended == "abort"


@pytest.mark.parametrize("answer", [encode_associate_rj(1, 1, 3), encode_associate_rj(2, 3, 2), encode_abort(2, 0)])
def test_its_own_refusal_is_passed_on(answer: bytes, site: Site, start_gateway: Callable[..., Gateway]) -> None:
    def refuse(visit: Visit) -> None:
        read_request(visit)
        visit.wire.send(answer)

    with Pacs(refuse) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port))
        with ask(gateway) as wire:
            assert wire.receive_pdu() == answer
            assert wire.receive_pdu() == END
    record = gateway.wait_for_record()
    if answer[0] == PduType.A_ASSOCIATE_RJ:
        assert record["reason"] == "upstream_rejected"
        assert record["rj"] == dict(zip(("result", "source", "reason"), answer[7:10], strict=True))
        assert record["answer"].startswith("A-ASSOCIATE-RJ ")
    else:
        assert (record["reason"], record["answer"]) == ("upstream_aborted", "A-ABORT 2/0 (reason not specified)")


def test_what_it_said_before_it_closed_is_delivered(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    """Half-closed by the PACS before its last answers are read: they arrive, then A-ABORT, which is not success."""
    answers = [p_data(bytes([number]) * 60_000) for number in range(120)]  # more than socket buffers hold

    def answer_and_close(visit: Visit) -> None:
        visit.accept()
        visit.wire.receive_pdu()
        visit.wire.send(b"".join(answers))
        visit.wire.fin()
        visit.until_end()

    with Pacs(answer_and_close) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port))
        with associate(connect(port_of(gateway.config), client_context(), receive_buffer=16_384)) as wire:
            wire.send(p_data(b"go on"))
            until(lambda: gateway.metric("backpressure_pauses_total") > 0, "the gateway has stopped reading the PACS")
            assert [wire.receive_pdu() for _ in answers] == answers
            assert wire.receive_pdu() == encode_abort(2, 0)
            assert wire.receive_pdu() == END
        assert gateway.wait_for_record()["ended"] == "upstream_lost"


@pytest.mark.parametrize("cut", [0, 1, 6, 11, 12, 13, COMMAND_END - 1, COMMAND_END, COMMAND_END + 7, COMMAND_END + 100])
def test_it_dies_instead_of_answering(cut: int, site: Site, start_gateway: Callable[..., Gateway]) -> None:
    """At a PDU boundary the sender gets an A-ABORT; inside a PDU a reset, with no byte of ours after the PACS's bytes.

    A command set is not forwarded before it is whole, nor are the headers in front of it: there the sender is at a
    boundary.
    """
    answer = p_data(b"response " * 20)

    def die(visit: Visit) -> None:
        visit.accept()
        visit.wire.receive_pdu()
        visit.wire.send(answer[:cut])
        # The reset must not overtake the bytes.
        until(lambda: not _unacknowledged(visit.wire.socket), "the gateway's kernel has them")
        visit.wire.reset()

    with Pacs(die) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port))
        with associate(connect(port_of(gateway.config), client_context())) as wire:
            wire.send(p_data(b"request"))
            if cut < COMMAND_END:
                assert wire.receive_pdu() == encode_abort(2, 0)
                assert wire.receive_pdu() == END
            else:
                received = wire.receive_all()
                assert answer.startswith(received) and len(received) <= cut
                assert not wire.peer_closed_tls
        assert gateway.wait_for_record()["ended"] == "upstream_lost"


def _unacknowledged(sock: socket.socket) -> int:
    """Bytes that the peer's kernel has not acknowledged: tcpi_unacked of struct tcp_info, in segments."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("=I", info, 24)[0])


@pytest.mark.parametrize(
    "violation",
    [
        encode_p_data(2, 0, b"a context that nobody proposed"),
        encode_p_data(5, 0, b"another one"),
        request(),
        b"\x08\x00\x00\x00\x00\x04abcd",
        b"\x04\x00\x00\x00\x00\x03abc",
    ],
)
def test_it_breaks_the_protocol(violation: bytes, site: Site, start_gateway: Callable[..., Gateway]) -> None:
    """The valid part is forwarded, then both legs are aborted."""

    def break_it(visit: Visit) -> None:
        visit.accept(trailing=p_data(b"valid") + violation)
        visit.until_end()

    assert {context[0] for context in CONTEXTS} == {1, 3}
    with Pacs(break_it) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port))
        with associate(connect(port_of(gateway.config), client_context())) as wire:
            assert wire.receive_pdu() == p_data(b"valid")
            assert wire.receive_pdu()[:6] == encode_abort(2, 0)[:6]
            assert wire.receive_pdu() == END
        assert pacs.ended().ended == "abort"
        assert gateway.wait_for_record()["reason"] in ("pdu_invalid", "pdu_unexpected")
