"""The content of a certificate file, and the places of a configuration that fit."""

import base64
import contextlib
import datetime

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from proxy.pki import issuing
from proxy.pki.inspection import InspectionError, ShownCertificate, ShownCrl, ShownRequest, inspect
from proxy.tls.certificates import for_policy
from proxy.x509.certificate import Unreadable, read
from tests.support import certs

SERVER, DEVICE, PINNED, CA = range(4)
YEAR = datetime.timedelta(days=365)


def facts(data: bytes) -> ShownCertificate:
    [found] = inspect(data, certs.now())
    assert isinstance(found, ShownCertificate)
    return found


def test_every_field_of_a_certificate_is_shown() -> None:
    issued = certs.leaf("CT1", certs.ca("CA"), dns=["ct1.example.org"], uri=["urn:x"], ip=["10.0.0.1"])
    shown = facts(issued.pem)
    assert (shown.subject, shown.issuer, shown.key, shown.signature) == ("CN=CT1", "CN=CA", "EC P-256", "sha256")
    assert (shown.dns, shown.uri, shown.ip, shown.usage) == (
        ("ct1.example.org",),
        ("urn:x",),
        ("10.0.0.1",),
        ("client",),
    )
    assert (shown.is_ca, shown.sha256) == (False, issued.sha256)
    assert len(shown.spki_sha256) == 44
    assert facts(issued.der) == shown
    assert facts(issued.key_pem + issued.pem) == shown


@pytest.mark.parametrize(
    ("issued", "possible", "words"),
    [
        (certs.leaf("a", certs.ca(), dns=["a"]), {DEVICE, PINNED}, "does not allow server authentication"),
        (certs.server("a", certs.ca()), {SERVER}, "does not allow client authentication"),
        (certs.leaf("a", certs.ca(), eku=[certs.SERVER]), {SERVER}, "no DNS name: senders that check"),
        (certs.leaf("a", certs.ca(), eku=None, dns=["a"]), {SERVER, DEVICE, PINNED}, "not a CA certificate"),
        (certs.leaf("a", certs.ca(), eku=[certs.ANY], dns=["a"]), set(), "does not allow client authentication"),
        (certs.self_signed("a"), {SERVER, DEVICE, PINNED, CA}, "pinned it stands for itself"),
        (issuing.build_authority("a", "ec", certs.now()), {CA}, "does not allow it to sign handshakes"),
        (certs.leaf("a", certs.ca(), kind="rsa1024"), set(), "RSA key of 1024 bits"),
        (certs.leaf("a", certs.ca(), kind="p224"), set(), "EC key of 224 bits"),
        (certs.leaf("a", certs.ca(), kind="ed25519"), {DEVICE, PINNED}, "Ed25519 keys are not understood by DCMTK"),
        (certs.sha1_signed(certs.leaf("a", certs.ca(kind="rsa2048"))), {PINNED}, "signed with SHA-1"),
        (certs.leaf("a", certs.ca(), valid=(certs.now() - YEAR, certs.now() - certs.DAY)), set(), "expired on"),
        (certs.leaf("a", certs.ca(), valid=(certs.now() + certs.DAY, certs.now() + YEAR)), set(), "not valid before"),
    ],
)
def test_the_places_where_a_certificate_fits(
    issued: certs.Issued | issuing.Authority, possible: set[int], words: str
) -> None:
    uses = facts(issuing.chain_pem([issued.certificate])).uses
    assert {place for place, use in enumerate(uses) if use.possible} == possible
    assert any(words in use.detail for use in uses)


def test_lists_and_requests_are_shown() -> None:
    ca = certs.ca()
    revoked = certs.leaf("CT1", ca)
    crl, *_ = inspect(certs.crl(ca, [revoked]) + ca.pem, certs.now())
    assert isinstance(crl, ShownCrl)
    assert crl.revoked == (f"{revoked.certificate.serial_number:x}",)
    request = issuing.build_request("MR1", issuing.generate_key("ec"), issuing.Names(dns=("mr1",)), ("client",))
    pem, der = (request.public_bytes(getattr(issuing.serialization.Encoding, name)) for name in ("PEM", "DER"))
    assert inspect(pem, certs.now()) == inspect(der, certs.now())
    assert inspect(der, certs.now()) == [ShownRequest("CN=MR1", "EC P-256", True, ("mr1",), (), ())]
    der_crl = x509.load_pem_x509_crl(certs.crl(ca)).public_bytes(issuing.serialization.Encoding.DER)
    assert isinstance(inspect(der_crl, certs.now())[0], ShownCrl)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no certificate"),
        (b"\0\1\2", "no certificate"),
        (certs.leaf("a", certs.ca()).key_pem, "holds PRIVATE KEY and no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
    ],
)
def test_an_unreadable_file_is_an_error(data: bytes, words: str) -> None:
    with pytest.raises(InspectionError, match=words):
        inspect(data, certs.now())


def test_a_name_of_an_impossible_type_is_unreadable_wherever_it_is_read() -> None:
    """X.520: a common name is text. OpenSSL takes a BIT STRING, `cryptography` raises TypeError."""
    name = bytes.fromhex("0603550403 0c03") + b"CT1"
    der = certs.self_signed("CT1").der
    assert name in der
    der = der.replace(name, bytes.fromhex("0603550403 0303 00") + b"T1")
    shown = facts(der)
    assert list(shown.unreadable) == ["issuer", "subject"]
    assert not any(use.possible for use in shown.uses)
    with pytest.raises(Unreadable):
        for_policy(read(der))


@given(st.binary(max_size=200), st.integers(0, 400), st.booleans())
def test_damaged_certificates_only_raise_inspection_errors(noise: bytes, at: int, pem: bool) -> None:
    good = certs.leaf("CT1", certs.ca(), dns=["ct1"], ip=["::1"])
    der = good.der[:at] + noise + good.der[at + len(noise) :]
    data = der
    if pem:
        data = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
    with contextlib.suppress(InspectionError):
        inspect(data, certs.now())
