"""The sentence for each failure of a handshake as the client, from real handshakes in memory."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.tls.client import client_context
from proxy.tls.handshake_words import explain_client_failure
from proxy.tls.profiles import PROFILES
from tests.support import certs

CA = certs.ca("CA")
STRANGER = certs.ca("Stranger")


@pytest.fixture
def server(tmp_path: Path) -> ssl.SSLContext:
    own = certs.server("pacs", CA)
    (tmp_path / "own.pem").write_bytes(own.chain_pem + own.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own.pem")
    context.load_verify_locations(cadata=CA.pem.decode())
    return context


def failure(server: ssl.SSLContext, client: ssl.SSLContext) -> OSError:
    """Return the exception of the client's handshake or, in TLS 1.3, of its first read."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname="pacs")
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    steps: list[Callable[[], object]] = [ours.do_handshake, theirs.do_handshake] * 3
    for step in [*steps, lambda: ours.read(1)]:
        try:
            step()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError as error:
            if step != theirs.do_handshake:
                return error
    raise AssertionError("the handshake went well")


@pytest.mark.parametrize("profile", ["bcp195-rfc8996", "bcp195-extended"])  # TLS 1.3 and TLS 1.2
def test_our_certificate_is_refused(server: ssl.SSLContext, profile: str) -> None:
    server.verify_mode = ssl.CERT_REQUIRED
    for issued, words in [
        (None, "client certificate"),
        (certs.leaf("CT1", STRANGER), "does not trust the CA of our certificate (TLSV1_ALERT_UNKNOWN_CA)"),
        (certs.leaf("CT1", CA, eku=[certs.SERVER]), "may not be used as a client's"),
        (certs.leaf("CT1", CA, valid=(certs.now() - 9 * certs.DAY, certs.now() - certs.DAY)), "has expired"),
    ]:
        certificate, key = (issued.pem, issued.key_pem) if issued else (None, None)
        client = client_context(PROFILES[profile], ca=CA.pem, certificate=certificate, key=key)
        assert words in explain_client_failure(failure(server, client))


def test_the_server_name_is_unknown(server: ssl.SSLContext) -> None:
    server.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    assert "(SNI)" in explain_client_failure(failure(server, client_context(ca=CA.pem)))


def test_nothing_in_common(server: ssl.SSLContext) -> None:
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    client = client_context(PROFILES["bcp195-extended"], ca=CA.pem)
    assert "none of the TLS versions" in explain_client_failure(failure(server, client))
    server.minimum_version, server.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    server.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305")
    assert "no common cipher suite" in explain_client_failure(failure(server, client))


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x01"])
def test_no_tls_at_all(answer: bytes) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(ca=CA.pem).wrap_bio(incoming, outgoing, server_hostname="pacs")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    incoming.write(answer)
    with pytest.raises(ssl.SSLError) as caught:
        client.do_handshake()
    assert explain_client_failure(caught.value) == "the peer does not speak TLS here"


def test_the_connection_ends_in_the_middle() -> None:
    assert "in the middle of the handshake" in explain_client_failure(ConnectionResetError(104, "reset"))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(ca=CA.pem).wrap_bio(incoming, outgoing, server_hostname="pacs")
    incoming.write_eof()
    with pytest.raises(ssl.SSLError) as caught:
        client.do_handshake()
    assert "in the middle of the handshake" in explain_client_failure(caught.value)
