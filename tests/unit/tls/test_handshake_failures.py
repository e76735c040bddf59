"""The reason and sentence for each failed handshake. Every OpenSSL error here comes from a real handshake."""

import ssl
from collections.abc import Callable

import pytest
from cryptography import x509

from proxy.policy import Reason
from proxy.tls.contexts import ServerContext
from proxy.tls.failures import explain_handshake_failure
from tests.support import certs
from tests.support.certs import DAY
from tests.support.tls_pair import Handshake, client, server_settings, shake_hands

V10, V11 = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
LEVEL_0 = ":@SECLEVEL=0"
ROOT, RSA_ROOT = certs.ca("Hospital root"), certs.ca("RSA root", kind="rsa2048")
CT1 = certs.leaf("CT1", ROOT)


def open_to_all(profile: str = "bcp195-rfc8996") -> ServerContext:
    return ServerContext(server_settings(profile=profile))


def with_certificates() -> ServerContext:
    return ServerContext(server_settings(mode="required", ca={"a": [ROOT, RSA_ROOT]}))


def explain(context: ServerContext, result: Handshake) -> tuple[Reason, str]:
    assert result.server_error is not None
    mismatch = context.server_name_mismatch(result.server)
    return explain_handshake_failure(result.server_error, result.hello, context.profile, sni_mismatch=mismatch)


def in_hello(old: str, new: str) -> Callable[[bytes], bytes]:
    def alter(flight: bytes) -> bytes:
        assert bytes.fromhex(old) in flight
        return flight.replace(bytes.fromhex(old), bytes.fromhex(new))

    return alter


@pytest.mark.parametrize(
    ("profile", "oldest", "newest", "detail"),
    [
        ("bcp195-rfc8996", V10, V10, "client offers TLS 1.0 only; profile bcp195-rfc8996 needs TLS 1.2"),
        ("bcp195-rfc8996", V10, V11, "client offers TLS 1.1 only; profile bcp195-rfc8996 needs TLS 1.2"),
        ("bcp195-extended", V13, V13, "client offers TLS 1.3 only; profile bcp195-extended ends at TLS 1.2"),
        ("legacy-aes", V13, V13, "client offers TLS 1.3 only; profile legacy-aes ends at TLS 1.2"),
    ],
)
def test_versions(profile: str, oldest: ssl.TLSVersion, newest: ssl.TLSVersion, detail: str) -> None:
    context = open_to_all(profile)
    result = shake_hands(context, client(minimum=oldest, maximum=newest, ciphers="ALL" + LEVEL_0))
    assert explain(context, result) == (
        Reason.TLS_VERSION,
        detail.replace("needs TLS ", "needs ").replace("at TLS ", "at "),
    )


@pytest.mark.parametrize(
    ("alter", "detail"),
    [
        (
            lambda flight: flight[:9] + b"\x03\x00" + flight[11:],
            "client offers SSL 3.0 only; profile bcp195-rfc8996 needs 1.2",
        ),
        (
            lambda flight: flight[:9] + b"\x02\x00" + flight[11:],
            "client offers version 0x0200 only; profile bcp195-rfc8996 needs 1.2",
        ),
        (
            in_hello("00ff0100", "56000100"),
            "client fell back to an older version although it has a newer one (RFC 7507)",
        ),
    ],
)
def test_versions_that_no_library_offers(alter: Callable[[bytes], bytes], detail: str) -> None:
    context = open_to_all()
    result = shake_hands(context, client(maximum=V12), alter_hello=alter)
    assert explain(context, result) == (Reason.TLS_VERSION, detail)


def test_a_version_of_the_future() -> None:
    context = open_to_all()
    result = shake_hands(context, client(minimum=V13), alter_hello=in_hello("002b0003020304", "002b0003020305"))
    reason, detail = explain(context, result)
    assert reason is Reason.TLS_VERSION
    assert detail == "client offers version 0x0305; profile bcp195-rfc8996 has none of them"


def test_old_suites_are_named() -> None:
    context = open_to_all()
    result = shake_hands(context, client(maximum=V12, ciphers="AES128-SHA:NULL-SHA" + LEVEL_0))
    assert explain(context, result) == (
        Reason.TLS_NO_SHARED_CIPHER,
        "client offers only TLS_RSA_WITH_AES_128_CBC_SHA (002F), TLS_RSA_WITH_NULL_SHA (0002); profile bcp195-rfc8996 "
        "needs one of TLS_AES_256_GCM_SHA384 (1302), TLS_CHACHA20_POLY1305_SHA256 (1303), "
        "TLS_AES_128_GCM_SHA256 (1301), "
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 (C02C), TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 (C030), "
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 (C02B), TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 (C02F)",
    )


def test_a_suite_that_does_not_go_with_our_certificate() -> None:
    context = ServerContext(server_settings(certificates=[certs.server("pacs", ROOT)]))
    result = shake_hands(context, client(maximum=V12, ciphers="ECDHE-RSA-AES128-GCM-SHA256" + LEVEL_0))
    reason, detail = explain(context, result)
    assert reason is Reason.TLS_NO_SHARED_CIPHER
    assert "none that goes with our certificates and its groups 001D, 0017" in detail


def test_groups_that_are_not_supported() -> None:
    context = open_to_all()
    requestor = client(minimum=V13)
    requestor.set_ecdh_curve("prime256v1")
    altered = in_hello("000a000400020017", "000a00040002fefe")
    result = shake_hands(
        context, requestor, alter_hello=lambda flight: altered(flight).replace(b"\x00\x17\x00\x41", b"\xfe\xfe\x00\x41")
    )
    assert explain(context, result) == (
        Reason.TLS_NO_SHARED_CIPHER,
        "client offers only the groups FEFE; it needs P-256 (0017) or X25519 (001D)",
    )


@pytest.mark.parametrize("version", [V12, V13])
def test_signature_algorithms_that_are_not_supported(version: ssl.TLSVersion) -> None:
    def alter(flight: bytes) -> bytes:
        start = flight.index(b"\x00\x0d\x00") + 4
        length = int.from_bytes(flight[start - 2 : start], "big") - 2
        return flight[: start + 2] + b"\xfe\xfe" * (length // 2) + flight[start + 2 + length :]

    context = open_to_all()
    reason, detail = explain(context, shake_hands(context, client(minimum=V12, maximum=version), alter_hello=alter))
    assert reason is Reason.TLS_NO_SHARED_CIPHER
    assert detail.startswith("client offers only the signature algorithms FEFE, FEFE")


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize(
    ("certificate", "reason", "words"),
    [
        (None, Reason.CLIENT_CERTIFICATE_MISSING, "the client sent no certificate"),
        (
            certs.leaf("x", ROOT, valid=(certs.now() - 9 * DAY, certs.now() - DAY)),
            Reason.CLIENT_CERTIFICATE_EXPIRED,
            "certificate has expired",
        ),
        (
            certs.leaf("x", ROOT, valid=(certs.now() + DAY, certs.now() + 9 * DAY)),
            Reason.CLIENT_CERTIFICATE_NOT_YET_VALID,
            "check the clocks",
        ),
        (certs.self_signed("x"), Reason.CLIENT_CERTIFICATE_UNTRUSTED, "`cert.file`"),
        (certs.leaf("x", certs.ca("Other")), Reason.CLIENT_CERTIFICATE_UNTRUSTED, "`client_auth.ca`"),
        (certs.leaf("x", CT1), Reason.CLIENT_CERTIFICATE_UNTRUSTED, "invalid CA certificate"),
        (certs.leaf("x", ROOT, eku=(certs.SERVER,)), Reason.CLIENT_CERTIFICATE_WRONG_USAGE, "clientAuth"),
        (certs.leaf("x", ROOT, kind="rsa1024"), Reason.CLIENT_CERTIFICATE_WEAK, "key too weak"),
        (
            certs.leaf("x", certs.ca("Small", issuer=ROOT, kind="rsa1024"), kind="rsa2048"),
            Reason.CLIENT_CERTIFICATE_WEAK,
            "key too weak",
        ),
        (
            certs.sha1_signed(certs.leaf("x", RSA_ROOT, kind="rsa2048")),
            Reason.CLIENT_CERTIFICATE_WEAK,
            "digest algorithm too weak",
        ),
    ],
)
def test_client_certificates(
    version: ssl.TLSVersion, certificate: certs.Issued | None, reason: Reason, words: str
) -> None:
    context = with_certificates()
    found, detail = explain(context, shake_hands(context, client(certificate, maximum=version)))
    assert found is reason
    assert words in detail


def test_a_chain_with_its_unknown_root() -> None:
    other = certs.ca("Other")
    leaf = certs.leaf("x", other)
    context = with_certificates()
    reason, detail = explain(context, shake_hands(context, client(leaf, chain=leaf.pem + other.pem)))
    assert reason is Reason.CLIENT_CERTIFICATE_UNTRUSTED
    assert "the root it sends" in detail


def test_a_curve_that_tls_1_2_does_not_allow() -> None:
    context = with_certificates()
    result = shake_hands(context, client(certs.leaf("x", ROOT, kind="p224"), maximum=V12))
    assert explain(context, result)[0] is Reason.CLIENT_CERTIFICATE_WEAK


def test_a_certificate_of_more_than_100_kib() -> None:
    names = x509.SubjectAlternativeName([x509.DNSName(f"{number}.example.org") for number in range(10_000)])
    context = with_certificates()
    result = shake_hands(context, client(certs.leaf("x", ROOT, extra=[(names, False)])))
    assert explain(context, result) == (Reason.TLS_FAILED, "excessive message size")


@pytest.mark.parametrize("version", [V12, V13])
def test_a_client_that_does_not_trust_us(version: ssl.TLSVersion) -> None:
    context = open_to_all()
    requestor = client(maximum=version)
    requestor.verify_mode = ssl.CERT_REQUIRED
    assert explain(context, shake_hands(context, requestor)) == (
        Reason.TLS_PEER_ALERT,
        "the client sent the alert unknown_ca: it does not know the CA of our certificate",
    )


@pytest.mark.parametrize(
    ("sent", "reason", "detail"),
    [
        (b"\x15\x03\x03\x00\x02\x02\x2f", Reason.TLS_PEER_ALERT, "the client sent the alert illegal_parameter"),
        (b"\x15\x03\x03\x00\x02\x02\x70", Reason.TLS_PEER_ALERT, "the client sent the alert unrecognized_name"),
        (b"\x15\x03\x03\x00\x02\x01\x00", Reason.TLS_PEER_ALERT, "the client sent close_notify during the handshake"),
        (b"\x15\x03\x03\x00\x02\x02\xee", Reason.TLS_FAILED, "unknown TLS error"),
        (b"\x01\x00\x00\x00\x00\xce" + bytes(206), Reason.TLS_FAILED, "wrong version number"),
        (b"\x16\x03\x03\x00\x05hello", Reason.TLS_FAILED, "unexpected message"),
    ],
)
def test_what_else_a_client_sends(sent: bytes, reason: Reason, detail: str) -> None:
    context = open_to_all()
    result = shake_hands(context, client(maximum=V12), disturb=lambda _flight: sent)
    assert explain(context, result) == (reason, detail)


def test_another_name_than_ours() -> None:
    context = open_to_all()
    assert explain(context, shake_hands(context, client(), expect=lambda _name: "other"))[0] is Reason.SNI_MISMATCH


@pytest.mark.parametrize(
    ("requestor", "reason"),
    [
        (client(minimum=V10, maximum=V10), Reason.TLS_VERSION),
        (client(maximum=V12, ciphers="AES128-SHA" + LEVEL_0), Reason.TLS_NO_SHARED_CIPHER),
    ],
)
def test_without_a_client_hello_the_reason_is_the_same(requestor: ssl.SSLContext, reason: Reason) -> None:
    context = open_to_all()
    result = shake_hands(context, requestor)
    assert result.server_error is not None
    assert explain_handshake_failure(result.server_error, None, context.profile)[0] is reason
