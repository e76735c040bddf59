"""Rows 1 to 4: other protocols on a TLS port, TLS on a plain one, and SSL of the last century."""

import random

import pytest

from tests.bad_inputs.case import Case
from tests.bad_inputs.hostile import alert_in
from tests.support import client_hellos, pdus

SSLV2_HELLO = bytes.fromhex("802e0100020015000000100100800200800300800400800500800600400700c0") + bytes(16)
_RANDOM = random.Random(2)


def closes(case: Case, first_bytes: bytes, what: str) -> None:
    """The gateway closes without a word, at once, and the record names what came."""
    peer = case.peer("tls")
    peer.send(first_bytes)
    assert peer.closed() < 1.5
    case.refused(peer, "not_tls")
    assert what in case.record(peer)["detail"]


def test_row_001_plain_request_to_the_tls_port(case: Case) -> None:
    closes(case, pdus.associate_rq(), "plain DICOM")


@pytest.mark.parametrize(
    ("first_bytes", "what"),
    [
        (b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"EHLO mail.example.org\r\n", "SMTP"),
        (b"\x03\x00\x00\x2b\x26\xe0\0\0\0\0\0Cookie: mstshash=admin\r\n\x01\0\x08\0\x03\0\0\0", "RDP"),
        (b"\xff" + _RANDOM.randbytes(1 << 20), "unknown bytes"),
        (b"\0" * 1000, "unknown bytes"),
        (b"\x1b]0;owned\x07\r\n{}%s", "unknown bytes"),
    ],
)
def test_row_002_another_protocol_on_the_tls_port(case: Case, first_bytes: bytes, what: str) -> None:
    case.rss_slack = 512 << 10
    closes(case, first_bytes, what)


@pytest.mark.parametrize("length", [1, 2, 6, 1000])
def test_row_003_client_hello_to_the_plain_port(case: Case, length: int) -> None:
    """The first bytes would be a PDU of 17 MB: the gateway does not wait for it."""
    peer = case.peer("plain")
    peer.send(client_hellos.wire([client_hellos.server_name(b"open.example.org")])[:length])
    assert peer.aborted(1.5) in ("0/1", "2/1")
    case.refused(peer, "tls_on_plain")


def test_row_004_sslv2_hello(case: Case) -> None:
    closes(case, SSLV2_HELLO, "SSLv2")


def test_row_004_sslv3_hello(case: Case) -> None:
    hello = client_hellos.body(legacy_version=0x0300, cipher_suites=[0x002F, 0x000A])
    record = client_hellos.records(client_hellos.handshake(hello))
    peer = case.peer("tls")
    peer.send(record[:2] + b"\0" + record[3:])
    # SSL 3.0 has no alert protocol_version: OpenSSL sends the one that such a client knows.
    assert alert_in(peer.rest()) in ("protocol_version", "handshake_failure")
    case.refused(peer, "tls_version")
