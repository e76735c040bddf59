"""The sans-IO endpoint, against Python's own client objects in memory."""

import ssl
from typing import Any

import pytest

from proxy.tls.endpoint import MAX_BARREN, RECORD, SEALED_RECORD, SLICE, BarrenTraffic, TlsEndpoint
from proxy.tls.failures import tls_failure_in_words
from proxy.tls.memory_file import load_key_pair
from tests.support import certs, tls_pair


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_key_pair(server, tls_pair.key_pair(certs.self_signed("gateway")))
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    return server, client


def connected(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> tuple[TlsEndpoint, TlsEndpoint]:
    server_context, client_context = contexts()
    client_context.minimum_version = client_context.maximum_version = version
    server_context.num_tickets = 0
    server = TlsEndpoint(server_context, server_side=True)
    client = TlsEndpoint(client_context, server_side=False)
    done = [False, False]
    data = b""
    while not all(done):
        done[1] = client.handshake(data)
        done[0] = server.handshake(client.output())
        data = server.output()
    return server, client


def decrypt(endpoint: TlsEndpoint, ciphertext: bytes) -> bytes:
    into = memoryview(bytearray(len(ciphertext) + 2 * RECORD))
    return bytes(into[: endpoint.decrypt(memoryview(ciphertext), into)])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("step", [1_000, 16_384, 65_536, 1_000_000])
def test_what_goes_in_comes_out(version: ssl.TLSVersion, step: int) -> None:
    server, client = connected(version)
    message = bytes(range(256)) * 800
    wire = b""
    for start in range(0, len(message), SLICE):
        client.encrypt(memoryview(message)[start : start + SLICE])
        wire += client.output()
    assert b"".join(decrypt(server, wire[i : i + step]) for i in range(0, len(wire), step)) == message


class _Counted:
    """A TLS object that counts the reads that found nothing."""

    def __init__(self, counted: ssl.SSLObject) -> None:
        self.in_vain = 0
        self.pending = counted.pending
        self._read = counted.read

    def read(self, size: int, into: bytearray) -> bytes:
        try:
            return self._read(size, into)
        except ssl.SSLWantReadError:
            self.in_vain += 1
            raise


def test_bulk_traffic_is_cut_between_full_records() -> None:
    """An incomplete record costs an exception to read, and one more record to write."""
    server, client = connected()
    wire = b""
    for _ in range(3):
        client.encrypt(memoryview(bytes(SLICE)))
        wire += client.output()
    assert len(wire) == 3 * SLICE // RECORD * SEALED_RECORD
    counted: Any = _Counted(server.object)
    server.object = counted
    assert decrypt(server, wire) == bytes(3 * SLICE)
    assert counted.in_vain == 0


def test_data_after_the_handshake_is_kept() -> None:
    server_context, client_context = contexts()
    server = TlsEndpoint(server_context, server_side=True)
    client = TlsEndpoint(client_context, server_side=False)
    client.handshake(b"")
    server.handshake(client.output())
    assert client.handshake(server.output())
    client.encrypt(memoryview(b"early bird"))
    assert server.handshake(client.output())
    assert decrypt(server, b"") == b"early bird"


def test_close_notify_ends_reading_and_leaves_writing() -> None:
    server, client = connected()
    client.encrypt(memoryview(b"last words"))
    client.close()
    assert decrypt(server, client.output()) == b"last words"
    assert server.closed
    assert server.failure is None
    server.encrypt(memoryview(b"answer"))
    assert decrypt(client, server.output()) == b"answer"


def test_both_sides_may_close_with_data_still_on_the_way() -> None:
    server, client = connected()
    client.encrypt(memoryview(b"on the way"))
    on_the_way = client.output()
    server.close()
    assert server.has_output
    assert decrypt(server, on_the_way[:10]) == b""
    assert decrypt(server, on_the_way[10:]) == b"on the way"


def test_a_damaged_record_loses_nothing_that_came_before_it() -> None:
    server, client = connected()
    client.encrypt(memoryview(b"good"))
    good = client.output()
    client.encrypt(memoryview(b"bad"))
    bad = bytearray(client.output())
    bad[-1] ^= 1
    assert decrypt(server, good + bytes(bad)) == b"good"
    assert isinstance(server.failure, ssl.SSLError)
    assert server.has_output, "the alert"
    assert decrypt(server, good) == b""


def test_a_failed_handshake_leaves_its_alert() -> None:
    server = TlsEndpoint(contexts()[0], server_side=True)
    with pytest.raises(ssl.SSLError):
        server.handshake(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")
    assert server.output()[:1] == b"\x15"


class Silent:
    """A TLS object that consumes records and returns no data, as in a flood of KeyUpdates."""

    def pending(self) -> int:
        return 0

    def read(self, length: int, buffer: memoryview) -> int:
        raise ssl.SSLWantReadError


def test_tls_that_is_kept_busy_without_data_is_ended() -> None:
    server, _ = connected()
    server.object = Silent()
    record = bytes(1024)
    for _ in range(MAX_BARREN // len(record)):
        assert decrypt(server, record) == b""
        assert server.failure is None
    decrypt(server, record)
    assert isinstance(server.failure, BarrenTraffic)


class Mute:
    """A TLS object that cannot write, as when half of a peer's handshake message is missing."""

    def write(self, data: memoryview) -> int:
        raise ssl.SSLWantReadError


def test_tls_that_cannot_write_returns_false_instead_of_raising() -> None:
    server, _ = connected()
    server.object = Mute()
    assert not server.encrypt(memoryview(b"answer"))
    assert isinstance(server.failure, ssl.SSLWantReadError)
    assert not server.has_output
    assert tls_failure_in_words(server.failure) == "it sent half a TLS handshake message and waits for an answer"


def test_a_broken_record_stays_the_reason_whatever_follows_it() -> None:
    server, client = connected()
    client.encrypt(memoryview(b"bad"))
    bad = bytearray(client.output())
    bad[-1] ^= 1
    decrypt(server, bytes(bad) + bytes(2 * MAX_BARREN))
    assert server.failure is not None
    assert tls_failure_in_words(server.failure) == "TLS broke: decryption failed or bad record mac"
