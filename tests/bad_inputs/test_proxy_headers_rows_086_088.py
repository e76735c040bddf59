"""Rows 86 to 88: PROXY headers from untrusted senders, broken ones, and ones that name an address of our own."""

import ipaddress
import socket
import struct
from collections.abc import Callable

import pytest

from proxy.pdu.proxy_header import encode_proxy_header
from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import Case
from tests.bad_inputs.configuration import HASTY, LATE, STAGE
from tests.bad_inputs.hostile import Peer, TlsPeer
from tests.support import pdus
from tests.support.client_hellos import server_name, wire
from tests.support.processes import until

UNTRUSTED = (f"127.250.0.{number}" for number in range(1, 100))  # outside LOAD_BALANCERS
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LOCAL = SIGNATURE + b"\x20\0\0\0"
HELLO = wire([server_name(b"open.example.org")])
INSIDE = (f"127.64.0.{number}" for number in range(1, 100))  # in the networks of the plain one


@pytest.fixture(scope="module")
def bed(start_bed: Callable[..., Bed]) -> Bed:
    return start_bed(timeouts=HASTY)


def header(source: str, version: int = 2) -> bytes:
    ends = (ipaddress.ip_address(source), 40000), (ipaddress.ip_address("127.0.0.1"), 2762)
    return encode_proxy_header(version, *ends)


def v2(body: bytes, *, family: int = 0x11, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", 0x21, family, len(body) if length is None else length) + body


def count(case: Case, result: str) -> float:
    return case.gateway.metric("proxy_protocol_headers_total", result=result)


def closes(case: Case, peer: Peer, sent: bytes, reason: str) -> None:
    """FIN without a word, at once; the record is that of the load balancer itself."""
    peer.send_wire(sent)
    assert peer.closed() < STAGE
    case.refused(peer, reason)
    assert case.record(peer)["client"] == {"ip": peer.address, "port": peer.socket.getsockname()[1], "via": "socket"}


def served(case: Case, peer: TlsPeer, source: str | None) -> None:
    """The handshake goes on, the association is accepted, and the record is that of the requestor."""
    assert peer.handshake(), f"{peer.alert} {peer.end}"
    peer.associate(pdus.associate_rq())
    if source is None:
        case.released(peer)
        assert case.record(peer)["client"]["via"] == "socket"
        return
    peer.release()
    case.unrecorded(peer)
    case.passed(source, "released")
    client = case.gateway.wait_for_record(lambda r: r["client"]["ip"] == source, since=case.mark)["client"]
    assert client == {"ip": source, "port": 40000, "via": "proxy_header", "proxy": peer.address}


# --- row 86: untrusted senders, and trusted ones without a header ----------------------------------------------------


@pytest.mark.parametrize("listener", ["proxied", "proxied-plain"])
@pytest.mark.parametrize("version", [1, 2])
def test_row_086_header_from_an_untrusted_source(case: Case, listener: str, version: int) -> None:
    before = count(case, "untrusted")
    peer = case.peer(listener, next(UNTRUSTED))
    closes(case, peer, header("127.64.0.99", version) + HELLO, "proxy_header_untrusted")
    assert count(case, "untrusted") == before + 1


def test_row_086_no_header_from_an_untrusted_source_either(case: Case) -> None:
    closes(case, case.peer("proxied", next(UNTRUSTED)), HELLO, "proxy_header_untrusted")


@pytest.mark.parametrize("version", [1, 2])
def test_row_086_header_to_a_tls_listener_without_proxy(case: Case, version: int) -> None:
    peer = case.peer("tls")
    closes(case, peer, header("10.0.0.1", version) + HELLO, "not_tls")
    assert "PROXY protocol" in case.record(peer)["detail"]


@pytest.mark.parametrize("version", [1, 2])
def test_row_086_header_to_a_plain_listener_without_proxy(case: Case, version: int) -> None:
    peer = case.peer("plain")
    peer.send(header("10.0.0.1", version) + pdus.associate_rq())
    assert peer.aborted() in ("0/1", "0/0")
    case.refused(peer, "pdu_unexpected")
    assert case.record(peer)["detail"] == "the peer speaks PROXY protocol, not DICOM"


@pytest.mark.parametrize(
    ("listener", "sent"), [("proxied", HELLO), ("proxied", b"P\r\n"), ("proxied-plain", pdus.associate_rq())]
)
def test_row_086_missing_where_required(case: Case, listener: str, sent: bytes) -> None:
    before = count(case, "missing")
    closes(case, case.peer(listener), sent, "proxy_header_missing")
    assert count(case, "missing") == before + 1


@pytest.mark.parametrize("sent", [b"", b"PROXY TCP4 10.0.0.1", header("10.0.0.1")[:-1], v2(bytes(12), length=0xFFFF)])
@pytest.mark.parametrize("listener", ["proxied", "proxied-plain"])
def test_row_086_a_header_that_does_not_come(case: Case, listener: str, sent: bytes) -> None:
    peer = case.peer(listener)
    peer.send_wire(sent)
    phase = {"name": "connections_active", "listener": listener, "phase": "proxy_header"}
    until(lambda: case.gateway.metric(**phase) == 1, "its phase is told", STAGE)
    assert STAGE * 0.9 <= peer.closed() < LATE
    case.refused(peer, "proxy_header_timeout")


@pytest.mark.parametrize("listener", ["proxied", "proxied-plain"])
@pytest.mark.parametrize("sent", [b"", LOCAL, b"PROXY UNKNOWN\r\n", header("127.64.0.98"), header("127.64.0.98", 1)])
def test_row_086_a_health_check_is_no_failure(case: Case, listener: str, sent: bytes) -> None:
    """A load balancer connects, perhaps with a header, and closes; `networks` need not contain its address."""
    before = case.gateway.metric("connections_rejected_total", reason="probe_disconnect")
    for end in (Peer.fin, Peer.reset):
        peer = case.peer(listener)
        peer.send_wire(sent)
        peer.wait_acknowledged()
        end(peer)
        if end is Peer.fin:
            peer.closed()
        case.unrecorded(peer)
    probes = {"name": "connections_rejected_total", "reason": "probe_disconnect"}
    until(lambda: case.gateway.metric(**probes) == before + 2, "both are probes")


# --- row 87: forms of the header -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
def test_row_087_header_byte_by_byte(case: Case, version: int) -> None:
    peer, source = case.tls_peer("proxied"), case.bed.address()
    for byte in header(source, version):
        peer.send_wire(bytes([byte]))
        peer.wait_acknowledged()
    served(case, peer, source)


@pytest.mark.parametrize("version", [1, 2])
def test_row_087_header_and_client_hello_in_one_segment(case: Case, version: int) -> None:
    peer, source = case.tls_peer("proxied"), case.bed.address()
    peer.send_wire(header(source, version) + peer.hello())
    served(case, peer, source)


@pytest.mark.parametrize("cut", [1, 10, 100])
def test_row_087_a_part_of_the_client_hello_with_the_header(case: Case, cut: int) -> None:
    peer, source = case.tls_peer("proxied"), case.bed.address()
    hello = peer.hello()
    peer.send_wire(header(source) + hello[:cut])
    peer.wait_acknowledged()
    peer.send_wire(hello[cut:])
    served(case, peer, source)


@pytest.mark.parametrize("cut", [0, 3, 74, None])
def test_row_087_header_and_request_in_one_segment(case: Case, cut: int | None) -> None:
    """On a plaintext listener; `cut`: so many bytes of the request come with the header."""
    peer, source, request = case.peer("proxied-plain"), next(INSIDE), pdus.associate_rq()
    cut = len(request) if cut is None else cut
    peer.send(header(source) + request[:cut])
    peer.wait_acknowledged()
    peer.send(request[cut:])
    peer.accepted()
    peer.release()
    case.unrecorded(peer)
    case.passed(source, "released")


@pytest.mark.parametrize("size", [0, 30, 65535 - 12 - 3])
def test_row_087_extensions_are_skipped(case: Case, size: int) -> None:
    source = case.bed.address()
    body = header(source)[16:] + struct.pack("!BH", 4, size) + bytes(size)
    peer = case.tls_peer("proxied")
    peer.send_wire(v2(body))
    served(case, peer, source)


@pytest.mark.parametrize(
    "sent",
    [
        LOCAL,
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ff::1 ff::1 1 1\r\n",
        v2(bytes(216), family=0x31),
        v2(b"", family=0),
    ],
)
def test_row_087_header_without_an_address(case: Case, sent: bytes) -> None:
    """LOCAL, UNKNOWN, UNIX: the socket's own address is the source."""
    peer = case.tls_peer("proxied")
    peer.send_wire(sent)
    served(case, peer, None)


@pytest.mark.parametrize("version", [1, 2])
def test_row_087_header_that_names_its_own_socket(case: Case, version: int) -> None:
    """As the health checks of HAProxy in version 1: the load balancer speaks for itself."""
    peer = case.tls_peer("proxied")
    (address, port), (gate, gate_port) = peer.socket.getsockname(), peer.socket.getpeername()
    ends = (ipaddress.ip_address(address), port), (ipaddress.ip_address(gate), gate_port)
    peer.send_wire(encode_proxy_header(version, *ends))
    served(case, peer, None)


def test_row_087_a_load_balancer_that_speaks_for_itself_is_no_exception_to_networks(case: Case) -> None:
    peer = case.peer("proxied-plain")
    peer.send(LOCAL + pdus.associate_rq())
    assert peer.rest() == b""
    case.refused(peer, "address_denied")


@pytest.mark.parametrize(
    "sent",
    [
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2" + b" " * 76,  # 108 bytes without an end
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 99999\r\n",
        b"PROXY TCP6 10.0.0.1 10.0.0.2 1 2\r\n",
        b"PROXY TCP4 10.0.0.1\0 10.0.0.2 1 2\r\n",
        v2(bytes(11)),
        v2(bytes(12), family=0x12),
        v2(bytes(12) + b"\x03\0\x04bad!"),
        v2(bytes(12) + b"\x04\xff\xff"),
        SIGNATURE + b"\x31\x11\0\x0c" + bytes(12),
    ],
)
def test_row_087_malformed(case: Case, sent: bytes) -> None:
    before = count(case, "malformed")
    closes(case, case.peer("proxied"), sent, "proxy_header_malformed")
    assert count(case, "malformed") == before + 1


@pytest.mark.parametrize("version", [1, 2])
def test_row_087_two_headers(case: Case, version: int) -> None:
    """The second header is data after the first: no TLS, and no PDU."""
    source = case.bed.address()
    peer = case.peer("proxied")
    peer.send_wire(header(source, version) + header("10.0.0.1", version) + HELLO)
    peer.closed()
    case.unrecorded(peer)
    case.refused(source, "not_tls")
    source = next(INSIDE)
    peer = case.peer("proxied-plain")
    peer.send(header(source, version) * 2 + pdus.associate_rq())
    assert peer.aborted() in ("0/1", "0/0")
    case.unrecorded(peer)
    case.refused(source, "pdu_unexpected")


# --- row 88: addresses that mean us ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "admitted"), [("127.0.0.1", False), ("192.168.1.1", False), ("10.9.8.7", True), ("127.64.9.9", True)]
)
def test_row_088_loopback_private_and_own_addresses_count_as_what_they_are(
    case: Case, source: str, admitted: bool
) -> None:
    """`networks` is asked about them as about any other address."""
    peer = case.peer("proxied-plain")
    peer.send(header(source) + pdus.associate_rq())
    case.unrecorded(peer)
    if admitted:
        peer.accepted()
        peer.release()
        case.passed(source, "released")
    else:
        assert peer.rest() == b""
        case.refused(source, "address_denied")


def test_row_088_an_ipv4_mapped_address_is_the_ipv4_address(case: Case) -> None:
    peer = case.peer("proxied-plain")
    ends = (ipaddress.ip_address("::ffff:10.9.8.6"), 40000), (ipaddress.ip_address("::1"), 2762)
    peer.send(encode_proxy_header(2, *ends) + pdus.associate_rq())
    peer.accepted()
    peer.release()
    case.unrecorded(peer)
    case.passed("10.9.8.6", "released")


@pytest.mark.parametrize("version", [1, 2])
def test_row_088_no_header_opens_the_admin_address(case: Case, version: int) -> None:
    """To the admin address the header is a bad HTTP request, and no more."""
    port = int(case.gateway.config["admin"]["listen"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as admin:
        admin.sendall(header("127.0.0.1", version) + b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        assert admin.recv(100).startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
