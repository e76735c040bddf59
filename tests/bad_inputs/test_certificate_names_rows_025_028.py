"""Rows 25 to 28: the names in a client certificate, and the AE titles that they permit."""

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.bad_inputs.case import Case
from tests.bad_inputs.certificate_cases import DAY, accepted, alerted, asks, rejected, shows, valid
from tests.bad_inputs.configuration import Pki
from tests.bad_inputs.hostile import client
from tests.support import certs, pdus
from tests.support.processes import clean_environment


def named(pki: Pki, *names: x509.GeneralName, subject: str = "NAMES") -> certs.Issued:
    return certs.leaf(subject, pki.ca["a"], extra=[(x509.SubjectAlternativeName(names), False)])


def test_row_025_names_match_by_their_type_and_as_a_whole(case: Case, pki: Pki) -> None:
    """CT1 is bound to the DNS name ct1.example.org, CN1 to the common name CN1."""
    name = "ct1.example.org"
    for other in (
        named(pki, x509.RFC822Name(name)),
        named(pki, x509.UniformResourceIdentifier(f"dns://{name}")),
        named(pki, x509.DNSName(f"{name}\0.evil.org")),
        named(pki, x509.DNSName("evil.org\0ct1.example.org")),
        named(pki, x509.DNSName("*.example.org")),
        named(pki, x509.DNSName("*")),
        certs.leaf(name, pki.ca["a"]),
    ):
        rejected(case, other, "certificate_not_bound")
    rejected(case, certs.leaf("CN1\0evil", pki.ca["a"]), "certificate_not_bound", calling="CN1")
    rejected(case, certs.leaf("cn1\x1b[31m\n", pki.ca["a"]), "certificate_not_bound", calling="CN1")
    accepted(case, certs.leaf("CN1", pki.ca["a"]), calling="CN1")


def test_row_025_very_many_names(case: Case, pki: Pki) -> None:
    case.rss_slack = 8 << 20
    many = [x509.DNSName(f"host{number}.example.org") for number in range(2_000)]
    accepted(case, named(pki, *many, x509.DNSName("ct1.example.org")), calling="CT1")
    rejected(case, named(pki, *many), "certificate_not_bound")
    peer = shows(case, named(pki, *(many * 5)))
    assert peer.refused_by_alert() == "illegal_parameter"
    case.refused(peer, "tls_failed")


@pytest.mark.peers
@pytest.mark.parametrize(
    "oid",
    ["2.5.29.31", "2.5.29.32", "2.5.29.35", "2.5.29.15", "2.5.29.37", "1.3.6.1.5.5.7.1.1"],
    ids=[
        "CRL distribution points",
        "policies",
        "authority key",
        "key usage",
        "extended usage",
        "authority information",
    ],
)
def test_row_025_broken_extension(case: Case, pki: Pki, tmp_path: Path, oid: str) -> None:
    """Each such certificate gets an answer, and never matches by name. GnuTLS sends what OpenSSL would not."""
    broken = unchecked_leaf(pki, x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x30\x82\xff\xff\x01"))
    (tmp_path / "broken.pem").write_bytes(broken.pem)
    (tmp_path / "broken.key").write_bytes(broken.key_pem)
    mine = ("--x509certfile", str(tmp_path / "broken.pem"), "--x509keyfile", str(tmp_path / "broken.key"))
    to = ("--no-ca-verification", "--sni-hostname", "closed.example.org", "-p", str(case.bed.ports["tls"]), "127.0.0.1")
    pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
    sender = subprocess.Popen(
        ["gnutls-cli", *mine, *to], stdin=pipe, stdout=quiet, stderr=quiet, env=clean_environment()
    )
    assert sender.stdin is not None
    try:
        sender.stdin.write(pdus.associate_rq(called=b"CLOSED".ljust(16)))
        sender.stdin.flush()  # and left open: a request that comes with its end is refused for that
        record = case.gateway.wait_for_record(lambda r: r["client"]["ip"] == "127.0.0.1", since=case.mark)
    finally:
        sender.terminate()
        sender.communicate()
    assert record["reason"] in (
        "client_certificate_untrusted",
        "client_certificate_wrong_usage",
        "certificate_not_bound",
    )
    case.refused("127.0.0.1", record["reason"])


@pytest.mark.parametrize(
    "names", [b"\x30\x05\x87\x03\x7f\0\1", b"\x30\x04\x82\x02\xff\xfe", b"\x30\x02\x82\0", b"\x30\0"]
)
def test_row_025_names_that_parsers_disagree_on(case: Case, pki: Pki, names: bytes) -> None:
    """An address of three bytes, a DNS name outside ASCII, an empty one, none: OpenSSL lets them through."""
    odd = unchecked_leaf(pki, x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), names))
    peer = shows(case, odd)
    asks(peer, "CLOSED", "CT1")
    assert peer.rejected() == "1/1/3"
    reason = case.record(peer)["reason"]
    assert reason in ("client_certificate_untrusted", "certificate_not_bound"), reason
    case.refused(peer, reason)


def unchecked_leaf(pki: Pki, extension: x509.UnrecognizedExtension) -> certs.Issued:
    """A certificate with this one extension."""
    key, issuer = certs.key("p256", "broken"), pki.ca["a"]
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateBuilder()
        .subject_name(certs.name("BROKEN"))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(certs.now() - DAY)
        .not_valid_after(certs.now() + DAY)
        .add_extension(extension, False)
    )
    return certs.Issued(builder.sign(issuer.key, hashes.SHA256()), key, issuer)


def test_row_026_certificate_of_one_and_title_of_another(case: Case, pki: Pki) -> None:
    rejected(case, pki.ct1, "certificate_not_bound", calling="CT2")
    rejected(case, pki.ct1, "certificate_not_bound", calling="CN1")
    accepted(case, pki.ct1, calling="CT1")


def test_row_027_optional_certificate(case: Case, pki: Pki) -> None:
    """None is fine, but matches no `cert`; a bad one never falls back to none."""
    accepted(case, None, "optional")
    rejected(case, None, "certificate_required", "optional")
    accepted(case, pki.ct1, "optional", "CT1")
    expired = certs.leaf("CT1", pki.ca["a"], valid=valid(-2 * DAY, -DAY))
    alerted(case, expired, "certificate_expired", "client_certificate_expired", "optional")
    stranger = certs.leaf("CT1", pki.ca["b"], dns=["ct1.example.org"])
    alerted(case, stranger, "unknown_ca", "client_certificate_untrusted", "optional")


def test_row_028_request_pipelined_behind_a_handshake_that_the_gateway_refuses(case: Case, pki: Pki) -> None:
    """In TLS 1.3 the client finishes before its certificate is judged: its data up to then is never read."""
    context = client(certs.leaf("CT1", pki.ca["b"]), "1.3")
    peer = case.tls_peer(server_name="closed.example.org", context=context)
    peer.send_wire(peer.hello())
    flight = peer.flight()
    peer.send_wire(flight + peer.seal(pdus.associate_rq(called=b"CLOSED".ljust(16))))
    assert peer.refused_by_alert() == "unknown_ca"
    case.refused(peer, "client_certificate_untrusted")
    assert "calling_aet" not in case.record(peer)
