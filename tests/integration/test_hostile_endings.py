"""Peers that make an ending hard: half a handshake message, no acknowledgement, goodbye with the request, no answer.

Each must leave one record and nothing else, and get only what its stage has words for.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.pdu import encode_abort, encode_associate_rj
from tests.bad_inputs.records13 import HANDSHAKE, RecordSealer
from tests.support import certs
from tests.support.client import associate, client_context, connect, request
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, Visit
from tests.support.processes import PATIENCE, until
from tests.support.site import HOST, Site, port_of
from tests.support.wire import END, Wire

Start = Callable[..., Gateway]
SOON = 10.0  # seconds for what would never come otherwise
HALF_A_KEY_UPDATE = bytes((24, 0, 0, 1))  # RFC 8446 4.6.3; the fifth byte does not come


def sealing(port: int, keys: Path) -> tuple[Wire, RecordSealer]:
    """A TLS 1.3 client after its handshake, and its record layer."""
    context = client_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.keylog_filename = str(keys)
    wire = connect(port, context)
    assert wire.tls is not None
    cipher = wire.tls.cipher()
    assert cipher is not None
    return wire, RecordSealer.from_key_log(keys, cipher[0])


def test_half_a_key_update_behind_a_request_that_is_refused(site: Site, start_gateway: Start, tmp_path: Path) -> None:
    """OpenSSL writes nothing until the other half comes: the refusal cannot be sent, but the connection ends."""
    with Pacs() as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port, timeouts={"close": "200ms"}))
        wire, records = sealing(port_of(gateway.config), tmp_path / "keys.log")
        wire.send_raw(records.seal(request(called="NOBODY")) + records.seal(HALF_A_KEY_UPDATE, HANDSHAKE))
        assert gateway.wait_for_record(timeout=SOON)["reason"] == "called_aet_unknown"
        assert wire.socket.recv(100) == b"", "nothing can be said, and the end is no RST"
        wire.close()
        until(lambda: gateway.metric("connections_active") == 0, "the connection is given back", SOON)
        until(lambda: gateway.child.descriptors() <= gateway.baseline_descriptors, "its descriptor too", SOON)


def test_half_a_key_update_on_an_association_spares_the_others(
    site: Site, start_gateway: Start, tmp_path: Path
) -> None:
    """This sender cannot be sent the A-ABORT of the idle timeout; other silent ones get it."""
    with Pacs() as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port, timeouts={"idle": "300ms", "close": "200ms"}))
        wire, records = sealing(port_of(gateway.config), tmp_path / "keys.log")
        wire.send_raw(records.seal(request(calling="HALF")))
        assert wire.receive_pdu()[:1] == b"\x02"
        with associate(connect(port_of(gateway.config), client_context(), timeout=SOON)) as silent:
            wire.send_raw(records.seal(HALF_A_KEY_UPDATE, HANDSHAKE))
            assert silent.receive_pdu() == encode_abort(2, 0)
        for calling in ("HALF", "CT1"):
            record = gateway.wait_for_record(lambda r, calling=calling: r["calling_aet"] == calling, SOON)
            assert record["ended"] == "timeout"
        assert pacs.ended(0).ended == pacs.ended(1).ended == "abort"
        wire.close()


@contextlib.contextmanager
def stopped(gateway: Gateway, signals: int) -> Iterator[None]:
    """Send SIGTERM this often, then run the body; at its end the gateway must have ended with 0."""
    try:
        gateway.child.process.terminate()
        if signals > 1:
            gateway.wait_for_event("draining")
            gateway.child.process.terminate()
        yield
        until(lambda: not gateway.child.alive, "the gateway has stopped")
    finally:
        code = gateway.child.end()
    assert code == 0, gateway.child.text
    assert not [line for line in gateway.events if line["event"] == "internal"]


def test_at_the_end_of_a_drain_nobody_gets_pdus_where_tls_or_a_request_is_due(site: Site, tmp_path: Path) -> None:
    timeouts = {"client_hello": "60s", "artim": "60s", "drain": "100ms", "close": "500ms"}
    with Pacs() as pacs:
        gateway = Gateway(tmp_path, site.one_tenant(pacs.port, timeouts=timeouts))
        port = port_of(gateway.config)
        with connect(port) as mute, connect(port) as half, connect(port, client_context()) as secured:
            half.send(b"\x16\x03\x01\x02\x00\x01\x00")
            with associate(connect(port, client_context())) as served, stopped(gateway, 1):
                assert served.receive_pdu() == encode_abort(2, 0)
                served.close()
                assert [mute.receive(), half.receive(), secured.receive_pdu()] == [b"", b"", END]
    records = {record["client"]["port"]: record for record in gateway.records}
    assert len(records) == 4
    refused = [record for record in records.values() if record["decision"] != "accepted"]
    assert [record["reason"] for record in refused] == ["draining"] * 3
    assert [record["answer"] for record in refused] == ["connection closed without an answer"] * 3


def test_a_second_sigterm_leaves_a_record_of_every_association(site: Site, tmp_path: Path) -> None:
    """Associations whose peers do not close get their record, too."""
    over = threading.Event()

    def stubborn(visit: Visit) -> None:
        visit.accept()
        over.wait(PATIENCE)

    with Pacs(stubborn) as pacs:
        gateway = Gateway(tmp_path, site.one_tenant(pacs.port))
        wires = [associate(connect(port_of(gateway.config), client_context())) for _ in range(3)]
        with stopped(gateway, 2):
            pass
        over.set()
        for wire in wires:
            wire.close()
    assert [record["ended"] for record in gateway.records] == ["drained"] * 3


def test_a_refused_peer_that_acknowledges_nothing_goes_with_the_others(site: Site, start_gateway: Start) -> None:
    """The window of the peer is too small for the handshake: `timeouts.close` applies, not `unacknowledged`."""
    names = [HOST, *(f"name-{number:03}.of-a-certificate-that-is-long.example.org" for number in range(200))]
    site.pair("long", certs.server(HOST, site.root, dns=names))
    timeouts = {"tls_handshake": "200ms", "close": "200ms", "unacknowledged": "60s"}
    config = site.one_tenant(1, timeouts=timeouts, tls={"certificate": "long"})
    gateway = start_gateway(config)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sock.connect(("127.0.0.1", port_of(config)))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context().wrap_bio(incoming, outgoing, server_hostname=HOST)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        sock.sendall(outgoing.read())
        assert gateway.wait_for_record(timeout=SOON)["reason"] == "tls_timeout"
        until(lambda: gateway.metric("connections_active") == 0, "the connection is closed", SOON)


def rejects(visit: Visit) -> None:
    visit.request = visit.wire.receive_pdu()
    visit.wire.send(encode_associate_rj(1, 1, 3))
    visit.until_end()


def aborts(visit: Visit) -> None:
    visit.request = visit.wire.receive_pdu()
    visit.wire.send(encode_abort(2, 0))
    visit.until_end()


@pytest.mark.parametrize("handler", [rejects, aborts])
def test_an_upstream_that_said_no_is_told_nothing(
    handler: Callable[[Visit], None], site: Site, start_gateway: Start
) -> None:
    """After the upstream's A-ASSOCIATE-RJ or A-ABORT: only close the connection (PS3.8 section 9.2, AE-4 and AA-3)."""
    with Pacs(handler) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port))
        with connect(port_of(gateway.config), client_context()) as wire:
            wire.send(request())
            assert wire.receive_pdu()[:1] in (b"\x03", b"\x07")
        assert pacs.ended().pdus == []
        assert pacs.ended().ended == "fin"


def close_notify(wire: Wire) -> bytes:
    assert wire.tls is not None
    with contextlib.suppress(ssl.SSLError):
        wire.tls.unwrap()
    return wire._outgoing.read()


def broken_record(wire: Wire) -> bytes:
    return b"\x17\x03\x03\x00\x40" + bytes(64)


@pytest.mark.parametrize(
    ("goodbye", "reason"), [(close_notify, "requestor_gone"), (broken_record, "tls_failed")], ids=["close", "broken"]
)
def test_a_request_that_comes_with_its_end_is_not_forwarded(
    goodbye: Callable[[Wire], bytes], reason: str, site: Site, start_gateway: Start
) -> None:
    with Pacs() as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port))
        with connect(port_of(gateway.config), client_context()) as wire:
            wire.send_raw(wire.encrypt(request()) + goodbye(wire))
            assert gateway.wait_for_record(timeout=SOON)["reason"] == reason
        assert pacs.dials == 0
