"""Rows 31 to 34, 41 and 42: forms of the ClientHello and what TLS offers besides."""

import subprocess
from pathlib import Path

import pytest

from tests.bad_inputs.case import Case
from tests.bad_inputs.configuration import Pki
from tests.bad_inputs.hellos import answer, offer_12, offer_13
from tests.bad_inputs.hostile import OPEN, SOON, alert_in, client
from tests.support import client_hellos, pdus
from tests.support.client_hellos import uint16s, vector8, vector16
from tests.support.listening import is_listening
from tests.support.ports import free_port
from tests.support.processes import clean_environment, until

KIB = 1024


def fragmented(hello: bytes, size: int) -> bytes:
    """The record of a ClientHello cut into records of `size` bytes."""
    return client_hellos.records(hello[5:], size)


def test_row_031_one_byte_per_segment(case: Case) -> None:
    peer = case.tls_peer()
    for byte in peer.hello():
        peer.send_wire(bytes((byte,)))
        peer.wait_acknowledged()
    assert peer.handshake()
    peer.associate(pdus.associate_rq())
    case.released(peer)


@pytest.mark.parametrize("size", [1, 3, 5, 100])
def test_row_031_many_records(case: Case, size: int) -> None:
    """Legal (RFC 8446 5.1), and the transcript that both sides hash does not change."""
    peer = case.tls_peer()
    hello = peer.hello()
    peer.send_wire(fragmented(hello, size))
    assert peer.handshake()
    peer.associate(pdus.associate_rq())
    case.released(peer)


def padded(size: int) -> bytes:
    """A handshake message whose body has exactly `size` bytes."""
    fill = size - (len(offer_12()) - 4)
    parts = []
    kind = 0x8000
    while fill > 0:
        # Padding (RFC 7685) once, then unknown extensions; the last one takes the rest, 4 bytes at least.
        take = min(fill, 60_000)
        if 0 < fill - take < 4:
            take -= 4
        parts.append((21 if not parts else kind, bytes(take - 4)))
        kind += 1
        fill -= take
    return offer_12(more=parts) if size < 65_000 else oversize(size)


def oversize(size: int) -> bytes:
    """More extensions than their length field can say: the lengths lie, the size counts."""
    body = offer_12()[4:]
    return client_hellos.handshake(body + bytes(size - len(body)))


@pytest.mark.parametrize("size", [1 * KIB, 8 * KIB, 16 * KIB])
def test_row_031_long_hello_within_the_limit(case: Case, size: int) -> None:
    hello = padded(size)
    assert len(hello) == size + 4
    assert answer(case, hello, "") == ""


@pytest.mark.parametrize("size", [16 * KIB + 1, 64 * KIB, 200 * KIB])
def test_row_031_hello_beyond_the_limit(case: Case, size: int) -> None:
    case.rss_slack = 512 * KIB
    assert answer(case, padded(size), "client_hello_malformed") == "decode_error"


def test_row_031_real_client_with_a_long_hello(case: Case) -> None:
    context = client()
    context.set_alpn_protocols(["x" * 250 + f"{number:05}" for number in range(55)])
    peer = case.associated(context=context)
    case.released(peer)


GREASE = (0x0A0A, 0x1A1A, 0xFAFA)


def test_row_031_grease(case: Case) -> None:
    """RFC 8701: values that mean nothing, wherever they may stand."""
    hello = client_hellos.handshake(
        client_hellos.body(
            [
                (GREASE[0], b""),
                client_hellos.server_name(OPEN.encode()),
                (10, vector16(uint16s([GREASE[1], 0x001D, 0x0017]))),
                (13, vector16(uint16s([GREASE[0], 0x0403, 0x0804]))),
                client_hellos.supported_versions(GREASE[2], 0x0304, 0x0303),
                (
                    51,
                    vector16(
                        uint16s([GREASE[1]]) + vector16(b"\0") + uint16s([0x001D]) + vector16(bytes(range(9, 41)))
                    ),
                ),
                client_hellos.alpn(b"\x0a\x0a", b"dicom"),
                (GREASE[1], b"\0"),
            ],
            cipher_suites=[GREASE[0], 0x1301, 0xC02B],
        )
    )
    assert answer(case, hello, "") == ""


@pytest.mark.parametrize(
    "record",
    [
        client_hellos.records(client_hellos.handshake(b"")),
        client_hellos.records(client_hellos.handshake(b"\3\3" + bytes(31))),
        client_hellos.records(client_hellos.handshake(client_hellos.body()[:-1])),
        client_hellos.records(client_hellos.handshake(client_hellos.body() + b"\0")),
        client_hellos.records(client_hellos.handshake(client_hellos.body(), message_type=2)),
        b"\x16\x03\x01\0\0",
        b"\x16\x03\x01\xff\xff",
        b"\x14\x03\x01\0\1\1",
        b"\x15\x03\x01\0\2\2\x28",
        b"\x17\x03\x03\0\x20" + bytes(32),
        b"\x18\x03\x02\0\3\1\x40\0",
    ],
)
def test_row_031_hello_that_is_none(case: Case, record: bytes) -> None:
    """Row 41's heartbeat request (0x18), the one that asked for 16 KiB of memory, included."""
    peer = case.peer("tls")
    peer.send(record)
    said = peer.rest()
    assert said == b"" or alert_in(said)
    case.refused(peer, "client_hello_malformed")


@pytest.mark.peers
def test_row_032_renegotiation_flood(case: Case) -> None:
    """`R` makes s_client ask for a renegotiation; the gateway never does one (OP_NO_RENEGOTIATION)."""
    before = case.bed.cpu_seconds()
    for _ in range(5):
        address = case.bed.address()
        command = ["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{case.bed.ports['tls']}"]
        ended = subprocess.run(
            [*command, "-bind", f"{address}:0", "-servername", OPEN],
            input="R\n" * 1000,
            capture_output=True,
            text=True,
            timeout=20,
            env=clean_environment(),
        )
        assert "no renegotiation" in ended.stderr, ended.stderr
        record = case.gateway.wait_for_record(lambda r, a=address: r["client"]["ip"] == a, since=case.mark)
        assert record["reason"] in ("requestor_gone", "tls_failed", "tls_truncated"), record
        case.refused(address, record["reason"])
    assert case.bed.cpu_seconds() - before < 0.5


@pytest.mark.parametrize("protocols", [["h2"], ["http/1.1", "h2"], [f"protocol-{n}" for n in range(100)], ["dicom"]])
def test_row_033_unexpected_alpn(case: Case, protocols: list[str]) -> None:
    context = client()
    context.set_alpn_protocols(protocols)
    peer = case.associated(context=context)
    assert peer.tls.selected_alpn_protocol() == ("dicom" if "dicom" in protocols else None)
    case.released(peer)


S_CLIENT = ("openssl", "s_client", "-tls1_3", "-servername", OPEN, "-connect")


def fetch_ticket(pki: Pki, session: str) -> None:
    """Leave a TLS 1.3 ticket that allows early data in the file `session`, given by an s_server that ends then."""
    port = free_port()
    certificate = ("-cert", pki.path("gate-p256.pem"), "-key", pki.path("gate-p256.key"))
    commands = [
        ["openssl", "s_server", "-accept", str(port), "-early_data", *certificate],
        [*S_CLIENT, f"127.0.0.1:{port}", "-sess_out", session],
    ]
    running = []
    try:
        for command in commands:
            # Both end when their standard input does: it stays open until the ticket is there.
            pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
            process = subprocess.Popen(command, stdin=pipe, stdout=quiet, stderr=quiet, env=clean_environment())
            running.append(process)
            until(lambda: is_listening(port), "s_server listens", SOON)
        until(lambda: Path(session).exists() and Path(session).stat().st_size > 0, "a ticket", SOON)
    finally:
        for process in running:
            process.terminate()
            process.communicate()


@pytest.mark.peers
def test_row_034_early_data(case: Case, pki: Pki, tmp_path: Path) -> None:
    """A ticket of another server permits 0-RTT; the request in it reaches no parser, and the handshake is full."""
    (tmp_path / "early").write_bytes(pdus.associate_rq(calling=b"EARLY".ljust(16)))
    session = str(tmp_path / "session")
    fetch_ticket(pki, session)
    address = case.bed.address()
    early = ("-sess_in", session, "-early_data", str(tmp_path / "early"), "-bind", f"{address}:0")
    ended = subprocess.run(
        [*S_CLIENT, f"127.0.0.1:{case.bed.ports['tls']}", *early],
        input=b"Q\n",
        capture_output=True,
        timeout=20,
        env=clean_environment(),
    )
    assert b"Early data was rejected" in ended.stdout, ended.stdout + ended.stderr
    case.refused(address, "requestor_gone")
    record = case.gateway.wait_for_record(lambda r: r["client"]["ip"] == address, since=case.mark)
    assert "calling_aet" not in record and record["tls"]["version"] == "TLSv1.3"


@pytest.mark.parametrize(
    "extension",
    [
        (15, b"\1"),  # heartbeat
        (27, vector8(uint16s([1, 2, 3]))),  # certificate compression
        (0xFE0D, b"\0\0\1\0\1\0" + vector16(bytes(32)) + vector16(bytes(144))),  # ECH, GREASE
        (19, vector8(b"\2")),  # client certificate type: raw public key
        (20, vector8(b"\2")),  # server certificate type
        (49, b""),  # post-handshake authentication
        (42, b""),  # early data
        (45, vector8(b"\1")),  # PSK with (EC)DHE, and no PSK
        (28, b"\0\x40"),  # record size limit of 64
        (1, b"\1"),  # maximum fragment length of 512
        (5, b"\1\0\0\0\0"),  # OCSP status request
        (0xFFFF, bytes(1000)),
    ],
    ids=lambda extension: f"extension {extension[0]}",
)
def test_row_041_extensions_that_nobody_needs_here(case: Case, extension: tuple[int, bytes]) -> None:
    """Ignored, or an alert: never a hang, nor memory."""
    case.rss_slack = 512 * KIB
    for hello in (offer_13(extension), offer_12(more=[extension])):
        peer = case.peer("tls")
        peer.send(client_hellos.records(hello))
        assert peer.receive(), peer.end
        if peer.plain[0] == 22:
            peer.close()
            case.refused(peer, "requestor_gone")
        else:
            assert alert_in(peer.rest())
            case.refused(peer, case.record(peer)["reason"])


def test_row_041_psk_only(case: Case) -> None:
    """A pre-shared key (RFC 8446 4.2.11): the gateway has none."""
    identity = vector16(vector16(b"ticket") + bytes(4))
    binder = vector16(vector8(bytes(32)))
    hello = client_hellos.handshake(
        client_hellos.body(
            [
                client_hellos.server_name(OPEN.encode()),
                client_hellos.supported_versions(0x0304),
                (45, vector8(b"\0")),
                (41, identity + binder),
            ],
            cipher_suites=[0x1301],
        )
    )
    peer = case.peer("tls")
    peer.send(client_hellos.records(hello))
    assert alert_in(peer.rest()) in ("handshake_failure", "missing_extension", "illegal_parameter")
    case.refused(peer, case.record(peer)["reason"])


def test_row_041_heartbeat_on_an_association(case: Case) -> None:
    peer = case.associated("HEARTBEAT")
    peer.send_wire(b"\x18\x03\x03\0\3\1\x40\0")
    assert peer.rest()[:1] in (b"", b"\x07")
    assert case.pacs.side("HEARTBEAT").wait_end()[:1] == b"\x07"
    case.passed(peer, "aborted_by_gateway", "tls_failed")


def test_row_042_post_handshake_authentication(case: Case) -> None:
    """Offered by the client, never asked for here."""
    context = client(case.bed.pki.ct1, "1.3")
    context.post_handshake_auth = True
    peer = case.associated(context=context)
    peer.echo()
    case.released(peer)
    assert "client_cert" not in case.record(peer)["tls"]
