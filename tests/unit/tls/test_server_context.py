import dataclasses
import ssl
from pathlib import Path

import pytest

from proxy.config.values import File, KeyPair, Listener
from proxy.policy import ClientAuthMode, ListenerPolicy
from proxy.tls import contexts as contexts_module
from proxy.tls.contexts import ListenerTls, ServerContext
from proxy.tls.errors import TlsSetupError
from proxy.tls.profiles import PROFILES
from tests.support import certs
from tests.support.tls_pair import Handshake, client, close, file, key_pair, server_settings, shake_hands

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
CA = certs.ca("Hospital CA")
CT1 = certs.leaf("CT1", CA)


def required() -> ServerContext:
    return ServerContext(server_settings(mode="required", ca={"hospital": [CA]}))


def session_of(result: Handshake) -> ssl.SSLSession:
    close(result)
    session = result.client.session
    assert session is not None
    return session


@pytest.mark.parametrize("version", [V12, V13])
def test_a_client_without_certificate_never_passes_a_required_context(version: ssl.TLSVersion) -> None:
    tenant = server_settings(mode="required", ca={"hospital": [CA]})
    listener = Listener("tls", (), ListenerPolicy("tls", ()), server_settings(), {"hospital": tenant})
    tls = ListenerTls(listener)
    assert tls.default.client_auth_mode is ClientAuthMode.NONE
    assert shake_hands(tls.default, client(maximum=version)).server_error is None
    result = shake_hands(tls.tenant("hospital"), client(maximum=version))
    assert result.server_error is not None
    assert result.server_error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    assert shake_hands(tls.tenant("hospital"), client(CT1, maximum=version)).server_error is None


def test_optional_means_absent_is_fine_and_invalid_is_not() -> None:
    context = ServerContext(server_settings(mode="optional", ca={"hospital": [CA]}))
    absent = shake_hands(context, client())
    assert absent.server_error is None
    assert context.client_certificate(absent.server, 0) is None
    invalid = shake_hands(context, client(certs.leaf("CT1", certs.ca("Other CA"))))
    assert isinstance(invalid.server_error, ssl.SSLCertVerificationError)


def test_the_tls_1_3_client_gets_no_ticket() -> None:
    context = required()
    result = shake_hands(context, client(CT1))
    assert result.server.version() == "TLSv1.3"
    close(result)
    session = result.client.session
    assert session is None or not session.has_ticket
    assert context.ssl.session_stats()["number"] == 0


@pytest.mark.parametrize("version", [V12, V13])
def test_a_session_of_one_tenant_does_not_resume_at_another(version: ssl.TLSVersion) -> None:
    a = ServerContext(server_settings(mode="optional", ca={"a": [CA]}))
    b = ServerContext(server_settings(mode="optional", ca={"b": [certs.ca("CA of B")]}))
    requestor = client(CT1, maximum=version)
    first = shake_hands(a, requestor)
    assert first.server_error is None
    close(first)
    second = shake_hands(b, requestor, session=first.client.session)
    assert second.server_error is not None  # a full handshake: OpenSSL checked CT1 against the CAs of B
    assert not second.server.session_reused


def test_a_tls_1_2_session_that_resumes_at_its_own_tenant_keeps_its_certificate() -> None:
    context = ServerContext(server_settings(mode="required", ca={"hospital": [CA]}))
    requestor = client(CT1, maximum=V12)
    first = shake_hands(context, requestor)
    before = context.client_certificate(first.server, certs.now().timestamp())
    assert before is not None
    assert before.problem is None
    second = shake_hands(context, requestor, session=session_of(first))
    assert second.server.session_reused
    assert context.client_certificate(second.server, certs.now().timestamp()) == before
    later = context.client_certificate(second.server, before.not_after + 1)
    assert later is not None
    assert later.problem == "client_certificate_expired"


def test_a_session_ends_with_the_ca_that_vouched_for_it() -> None:
    authority = certs.ca("Ends soon", valid=(certs.now() - certs.DAY, certs.now() + certs.DAY))
    context = ServerContext(server_settings(mode="required", ca={"hospital": [authority]}))
    requestor = client(certs.leaf("CT1", authority), maximum=V12)
    first = shake_hands(context, requestor)
    assert context.client_certificate(first.server, certs.now().timestamp()) is not None
    second = shake_hands(context, requestor, session=session_of(first))
    assert second.server.session_reused
    certificate = context.client_certificate(second.server, (certs.now() + 2 * certs.DAY).timestamp())
    assert certificate is not None
    assert certificate.problem == "client_certificate_expired"


def test_a_resumed_session_whose_certificate_was_never_judged_is_refused() -> None:
    context = ServerContext(server_settings(mode="required", ca={"hospital": [CA]}))
    requestor = client(CT1, maximum=V12)
    first = shake_hands(context, requestor)  # ends before `client_certificate` is called
    second = shake_hands(context, requestor, session=session_of(first))
    certificate = context.client_certificate(second.server, certs.now().timestamp())
    assert certificate is not None
    assert certificate.problem == "client_certificate_untrusted"


def test_the_store_of_tls_1_2_sessions_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contexts_module, "RENEW_AFTER", 3)
    context = required()
    requestor = client(CT1, maximum=V12)
    kept = []
    for _ in range(7):
        close(shake_hands(context, requestor))
        kept.append(context.ssl.session_stats()["number"])
    assert max(kept) <= 2


def test_without_room_for_a_new_context_the_present_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contexts_module, "RENEW_AFTER", 1)
    context = required()
    before = context.ssl

    def no_descriptors(_context: ssl.SSLContext, _pair: KeyPair) -> None:
        raise OSError("Too many open files")

    with monkeypatch.context() as broken:
        broken.setattr(contexts_module, "load_key_pair", no_descriptors)
        assert shake_hands(context, client(CT1)).server_error is None
    assert context.ssl is before
    assert shake_hands(context, client(CT1)).server_error is None
    assert context.ssl is not before


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("pacs.example.org", "other.example.org"), ("pacs.example.org", None), (None, "pacs.example.org")],
)
def test_another_name_than_the_expected_one_is_refused(asked: str | None, expected: str | None) -> None:
    context = ServerContext(server_settings())
    result = shake_hands(context, client(), server_name=asked, expect=lambda _name: expected)
    assert context.server_name_mismatch(result.server)
    assert result.client_error is not None
    assert result.client_error.reason == "TLSV1_UNRECOGNIZED_NAME"


@pytest.mark.parametrize("asked", ["PACS.example.org", "pacs.example.org.", None])
def test_the_expected_name_passes_in_any_spelling(asked: str | None) -> None:
    context = ServerContext(server_settings())
    result = shake_hands(context, client(), server_name=asked)
    assert result.server_error is None
    assert not context.server_name_mismatch(result.server)


def test_a_handshake_without_an_expected_name_is_refused() -> None:
    context = ServerContext(server_settings())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.ssl.wrap_bio(to_server, to_client, server_side=True)
    requestor = client().wrap_bio(to_client, to_server)
    with pytest.raises(ssl.SSLWantReadError):
        requestor.do_handshake()
    with pytest.raises(ssl.SSLError):
        server.do_handshake()
    assert context.server_name_mismatch(server)


def test_alpn_is_dicom_and_anything_else_is_ignored() -> None:
    context = ServerContext(server_settings())
    for offered, selected in ((["dicom"], "dicom"), (["h2", "dicom"], "dicom"), (["h2"], None), ([], None)):
        requestor = client()
        if offered:
            requestor.set_alpn_protocols(offered)
        result = shake_hands(context, requestor)
        assert result.server_error is None
        assert result.server.selected_alpn_protocol() == selected


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("mode", ["none", "optional", "required"])
def test_every_context_shakes_hands_with_itself(name: str, mode: str) -> None:
    ServerContext(server_settings(profile=name, mode=mode, ca={"hospital": [CA]})).self_test()


def test_the_self_test_finds_a_certificate_that_serves_no_suite() -> None:
    settings = server_settings(profile="bcp195-extended", certificates=[certs.server("pacs", CA, kind="ed25519")])
    ServerContext(settings).self_test()  # Ed25519 goes with the ECDSA suites
    settings = server_settings(profile="legacy-aes", certificates=[certs.server("pacs", CA)])
    listener = Listener("tls", (), ListenerPolicy("tls", ()), settings)
    with pytest.raises(TlsSetupError, match=r"config.yaml:1: chain.pem: handshake with itself failed"):
        ListenerTls(listener).self_test()


def pair(chain: bytes, key: bytes) -> KeyPair:
    return KeyPair(File("tls.crt", chain, "config.yaml:7"), File("tls.key", key, "config.yaml:8"))


SERVER = certs.server("pacs", CA)


@pytest.mark.parametrize(
    ("certificates", "message"),
    [
        ((pair(SERVER.pem, SERVER.encrypted_key_pem(b"secret")),), "config.yaml:8: tls.key: the key is encrypted"),
        ((pair(SERVER.pem, CT1.key_pem),), "config.yaml:8: tls.key: is not the key of the certificate in tls.crt"),
        ((pair(b"", SERVER.key_pem),), "config.yaml:7: tls.crt: holds no PEM certificate"),
        ((pair(SERVER.pem, b"rubbish"),), "config.yaml:8: tls.key: holds no PEM private key"),
        ((pair(SERVER.pem[:200], SERVER.key_pem),), "config.yaml:7: tls.crt: cannot be used with tls.key"),
        ((), "config.yaml:9: no certificate"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named(certificates: tuple[KeyPair, ...], message: str) -> None:
    settings = dataclasses.replace(server_settings(), certificates=certificates)
    with pytest.raises(TlsSetupError) as caught:
        ServerContext(settings)
    assert str(caught.value).startswith(message)


def test_a_weak_certificate_of_ours_is_named() -> None:
    settings = server_settings(certificates=[certs.server("pacs", CA, kind="rsa1024")])
    with pytest.raises(TlsSetupError, match=r"chain.pem: too weak for the profile"):
        ServerContext(settings)


def test_a_ca_file_without_certificate_is_named() -> None:
    settings = server_settings(mode="required", ca={"hospital": [CA]})
    broken = dataclasses.replace(settings.client_auth, ca={"hospital": file(b"-----BEGIN", "ca.pem")})
    with pytest.raises(TlsSetupError, match=r"config.yaml:1: ca.pem: holds no PEM certificate"):
        ServerContext(dataclasses.replace(settings, client_auth=broken))


def test_a_plaintext_listener_has_no_contexts() -> None:
    with pytest.raises(TlsSetupError, match="plain has no TLS"):
        ListenerTls(Listener("plain", (), ListenerPolicy("plain", ())))


def test_no_descriptor_stays_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    ServerContext(server_settings(profile="legacy-bcp195"))
    with pytest.raises(TlsSetupError):
        ServerContext(dataclasses.replace(server_settings(), certificates=(pair(SERVER.pem, b""),)))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_rsa_and_ecdsa_serve_side_by_side() -> None:
    root = certs.ca("Server root")
    settings = dataclasses.replace(
        server_settings(),
        certificates=tuple(key_pair(certs.server("pacs", root, kind=kind)) for kind in ("rsa2048", "p384")),
    )
    context = ServerContext(settings)
    for suite in ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"):
        assert shake_hands(context, client(maximum=V12, ciphers=suite)).server_error is None
