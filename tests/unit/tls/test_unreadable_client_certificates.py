"""A client certificate that OpenSSL verifies but `cryptography` cannot read in full is refused in every case."""

import pytest
from cryptography import x509

from proxy.tls.contexts import ServerContext
from proxy.tls.judging import CertificateJudge
from proxy.tls.trust import TrustStore
from tests.support import certs
from tests.support.tls_pair import client, server_settings, shake_hands
from tests.unit.x509.writing import ISSUER, SERIAL, SUBJECT, element, replace_field, signed_by

NOW = certs.now().timestamp()
ROOT = certs.ca("Hospital root")
GOOD = certs.leaf("CT1", ROOT, dns=["ct1.example.org"])


def name(tag: int, content: bytes) -> bytes:
    return element(0x30, element(0x31, element(0x30, element(0x06, b"\x55\x04\x03") + element(tag, content))))


def test_openssl_accepts_it_and_the_gateway_names_the_field() -> None:
    der = signed_by(ROOT, replace_field(GOOD.der, SUBJECT, name(0x14, b"Klinik Z\xfcrich")))
    shown = certs.Issued(x509.load_der_x509_certificate(der), GOOD.key, ROOT)
    context = ServerContext(server_settings(mode="required", ca={"hospital": [ROOT]}))
    handshake = shake_hands(context, client(shown))
    assert handshake.server_error is None
    judged = context.client_certificate(handshake.server, NOW)
    assert judged is not None
    assert judged.problem == "client_certificate_untrusted"
    assert judged.problem_detail == "cannot be read (subject: CN is a string outside ASCII, shown as Latin-1)"
    assert (judged.subject, judged.subject_cn, judged.san_dns) == ("", (), ())  # nothing that a peer could match


@pytest.mark.parametrize("profile_checks", [True, False])
@pytest.mark.parametrize(
    ("field", "new"),
    [
        (SUBJECT, name(0x13, b"ct1@pacs")),
        (SUBJECT, name(0x03, b"\0CT1")),
        (ISSUER, name(0x13, b"ca@hospital")),
        (SERIAL, element(0x02, b"\0\0\1")),
    ],
)
def test_no_odd_field_is_matched(field: int, new: bytes, profile_checks: bool) -> None:
    der = signed_by(ROOT, replace_field(GOOD.der, field, new))
    judge = CertificateJudge(
        TrustStore(server_settings(mode="required", ca={"hospital": [ROOT]}).client_auth),
        checks_strength=profile_checks,
    )
    judged = judge.judge([der, ROOT.der], NOW)
    assert judged.problem == "client_certificate_untrusted"
    assert judged.san_dns == ()
