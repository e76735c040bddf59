"""TLS towards upstreams, against servers in memory."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from proxy.config.values import Server, Upstream, UpstreamTls
from proxy.tls import upstreams as module
from proxy.tls.errors import TlsSetupError
from proxy.tls.handshake_words import explain_client_failure
from proxy.tls.hello import ClientHelloReader
from proxy.tls.upstreams import UpstreamContext, upstream_contexts
from tests.support import certs, defaults
from tests.support.tls_pair import file, key_pair

ROOT = certs.ca("Hospital root")
NAME = "pacs.example.org"
SERVER = Server(NAME, 2762)
GOOD = certs.server(NAME, ROOT)


def upstream(name: str = "pacs", **tls: Any) -> Upstream:
    settings = UpstreamTls(**{"profile": "bcp195-rfc8996", "ca": file(ROOT.pem, "ca.pem"), "where": "c.yaml:9", **tls})
    return defaults.upstream(name, (SERVER,), tls=settings)


def context(**tls: Any) -> UpstreamContext:
    return upstream_contexts([upstream(**tls)])["pacs"]


def serve(folder: Path, issued: certs.Issued, level: int = 2) -> ssl.SSLContext:
    (folder / "own.pem").write_bytes(issued.chain_pem + issued.key_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.set_ciphers(f"DEFAULT:@SECLEVEL={level}")
    server.load_cert_chain(folder / "own.pem")
    return server


def shake_hands(ours: UpstreamContext, theirs: ssl.SSLContext, to: Server = SERVER) -> ssl.SSLObject:
    """Make the client side of the handshake. Raises the exception of a failure."""
    endpoint = ours.endpoint(to)
    to_server, to_us = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = theirs.wrap_bio(to_server, to_us, server_side=True)
    while not endpoint.handshake(to_us.read()):
        to_server.write(endpoint.output())
        try:
            server.do_handshake()
        except ssl.SSLWantReadError:
            pass
    return endpoint.object


def refusal(ours: UpstreamContext, theirs: ssl.SSLContext, to: Server = SERVER) -> str:
    with pytest.raises(ssl.SSLError) as raised:
        shake_hands(ours, theirs, to)
    return explain_client_failure(raised.value)


def hello(ours: UpstreamContext, to: Server) -> str | None:
    endpoint = ours.endpoint(to)
    assert not endpoint.handshake(b"")
    read = ClientHelloReader().feed(endpoint.output())
    assert read is not None
    return read.server_name


@pytest.mark.parametrize(
    ("server_name", "host", "sent"),
    [
        (None, NAME, NAME),
        (None, f"{NAME}.", NAME),
        ("clinic.example.org", NAME, "clinic.example.org"),
        ("clinic.example.org", "10.20.0.5", "clinic.example.org"),
        ("10.20.0.5", "pacs", None),
        (None, "fd00::5", None),
    ],
)
def test_the_server_name_is_sent_and_an_address_is_not(server_name: str | None, host: str, sent: str | None) -> None:
    assert hello(context(server_name=server_name), Server(host, 2762)) == sent


def test_the_name_is_verified(tmp_path: Path) -> None:
    assert shake_hands(context(), serve(tmp_path, GOOD)).version() == "TLSv1.3"
    assert shake_hands(context(server_name=NAME), serve(tmp_path, GOOD), Server("10.0.0.1", 1)).version()
    words = refusal(context(server_name="other.example.org"), serve(tmp_path, GOOD))
    assert "certificate is not valid for 'other.example.org'" in words
    assert shake_hands(context(server_name="other.example.org", verify_name=False), serve(tmp_path, GOOD)).version()


def test_an_address_is_verified_too(tmp_path: Path) -> None:
    server = serve(tmp_path, certs.leaf("pacs", ROOT, eku=(certs.SERVER,), ip=["10.20.0.5"]))
    assert shake_hands(context(server_name="10.20.0.5"), server, Server("pacs", 1)).version()
    assert "IP address mismatch" in refusal(context(server_name="10.20.0.6"), server)


@pytest.mark.parametrize("verify_name", [True, False])
def test_the_chain_is_verified_whatever_the_name(tmp_path: Path, verify_name: bool) -> None:
    ours = context(verify_name=verify_name)
    stranger = serve(tmp_path, certs.server(NAME, certs.ca("Other root")))
    assert "its issuer is not among the CAs that are trusted here" in refusal(ours, stranger)
    alone = serve(tmp_path, certs.self_signed(NAME))
    assert "name it as the CA" in refusal(ours, alone)


def test_a_self_signed_server_may_be_its_own_ca(tmp_path: Path) -> None:
    own = certs.self_signed(NAME)
    assert shake_hands(context(ca=file(own.pem), verify_name=False), serve(tmp_path, own)).version()


def test_without_ca_the_system_s_are_asked(tmp_path: Path) -> None:
    assert "its issuer is not among" in refusal(context(ca=None), serve(tmp_path, GOOD))


def test_a_machine_without_cas_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    paths = ssl.DefaultVerifyPaths(None, str(tmp_path), "", "", "", "")  # type: ignore[arg-type]
    monkeypatch.setattr(module.ssl, "get_default_verify_paths", lambda: paths)
    with pytest.raises(TlsSetupError, match=r"c\.yaml:9: this machine has no CA certificates"):
        context(ca=None)


def test_our_certificate_is_shown_with_its_chain(tmp_path: Path) -> None:
    site = certs.leaf("site", certs.ca("Issuing", issuer=ROOT))
    server = serve(tmp_path, GOOD)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(cadata=ROOT.pem.decode())
    assert shake_hands(context(certificate=key_pair(site)), server).version()


def test_weak_certificates_are_found_where_openssl_lets_them_pass(tmp_path: Path) -> None:
    weak = certs.server(NAME, ROOT, kind="rsa1024")
    ours = context(profile="legacy-bcp195")
    found = ours.weakness(shake_hands(ours, serve(tmp_path, weak, level=0)))
    assert found is not None and "RSA key of 1024 bits" in found
    assert ours.weakness(shake_hands(ours, serve(tmp_path, GOOD))) is None
    assert "key too weak" in refusal(context(), serve(tmp_path, weak, level=0))


def test_upstreams_with_equal_settings_share_their_context() -> None:
    pair = key_pair(GOOD)
    built = upstream_contexts(
        [
            upstream("a", server_name="a.example.org", certificate=pair),
            upstream("b", server_name="b.example.org", certificate=pair),
            upstream("c", certificate=pair, verify_name=False),
            defaults.upstream("plain", (SERVER,)),
        ]
    )
    assert list(built) == ["a", "b", "c"]
    a, b, c = (one.endpoint(SERVER).object.context for one in built.values())
    assert a is b and a is not c
    assert a.verify_mode == c.verify_mode == ssl.CERT_REQUIRED


def test_a_file_that_cannot_be_used_is_named() -> None:
    with pytest.raises(TlsSetupError, match=r"ca\.pem: holds no PEM certificate"):
        context(ca=file(b"x", "ca.pem"))
    mixed = key_pair(GOOD)
    with pytest.raises(TlsSetupError, match="is not the key of the certificate"):
        context(certificate=type(mixed)(mixed.chain, key_pair(certs.leaf("x", ROOT)).key))
