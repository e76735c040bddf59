"""Two readers over the same bytes: ours agrees where `cryptography` reads a field, and names the field where not."""

import base64
import hashlib
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.x509.certificate import Certificate, Unreadable, read
from proxy.x509.second_opinion import REFUSALS
from tests.support import certs
from tests.unit.x509.writing import SUBJECT, element, replace_field

CA = certs.ca("Hospital Ä, CA")
RSA_CA = certs.ca("RSA", kind="rsa2048", pathlen=3)
SAMPLES = [
    certs.leaf("CT1", CA, dns=["ct1.example.org", "*.b"], uri=["urn:x"], ip=["10.0.0.1", "::1"]).der,
    certs.leaf(' #a+b,c"\\;<>\0 ', RSA_CA, kind="rsa2048", eku=[certs.CLIENT, certs.SERVER, certs.ANY]).der,
    certs.sha1_signed(certs.leaf("old", RSA_CA, kind="rsa1024", eku=None)).der,
    certs.self_signed("ORTHANC", kind="ed25519").der,
    certs.self_signed("plain", ca_flag=None, kind="p521").der,
    certs.ca("Limits", kind="p384", extra=[(x509.NameConstraints([x509.DNSName("a.b")], None), True)]).der,
    CA.der,
    RSA_CA.der,
]

FUZZ = settings(max_examples=300)
# `cryptography` reads a serial number that is not positive, and warns.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def by_cryptography(der: bytes) -> x509.Certificate | None:
    """Return the certificate if `cryptography` reads all of its fields, else None."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.extensions, certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
        _ = certificate.public_key(), certificate.signature_hash_algorithm, certificate.serial_number
    except REFUSALS:
        return None
    return certificate


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> object:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def compare(ours: Certificate, theirs: x509.Certificate) -> None:
    assert ours.unreadable == {}
    assert ours.parsed == theirs
    assert (ours.serial, ours.version) == (theirs.serial_number, theirs.version.value + 1)
    assert (ours.subject.text, ours.issuer.text) == (theirs.subject.rfc4514_string(), theirs.issuer.rfc4514_string())
    common_names = [name.value for name in theirs.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    assert list(ours.subject.common_names) == [name for name in common_names if isinstance(name, str)]
    assert ours.is_self_issued == (theirs.subject == theirs.issuer)
    assert (ours.not_before, ours.not_after) == (theirs.not_valid_before_utc, theirs.not_valid_after_utc)
    digest = theirs.signature_hash_algorithm
    assert ours.signature_hash == (digest.name if digest is not None else None)
    spki = theirs.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert ours.spki_sha256 == base64.b64encode(hashlib.sha256(spki).digest()).decode()
    compare_key(ours, theirs.public_key())
    compare_extensions(ours, theirs)


def compare_key(ours: Certificate, key: object) -> None:
    if isinstance(key, rsa.RSAPublicKey):
        assert (ours.key.kind, ours.key.bits) == ("RSA", key.key_size)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        assert (ours.key.kind, ours.key.bits, ours.key.curve) == ("EC", key.key_size, key.curve.name)
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        assert ours.key.is_edwards


def compare_extensions(ours: Certificate, theirs: x509.Certificate) -> None:
    names = extension(theirs, x509.SubjectAlternativeName)
    if isinstance(names, x509.SubjectAlternativeName):
        assert list(ours.names.dns) == names.get_values_for_type(x509.DNSName)
        assert list(ours.names.uri) == names.get_values_for_type(x509.UniformResourceIdentifier)
        assert list(ours.names.ip) == [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    else:
        assert (ours.names.dns, ours.names.uri, ours.names.ip) == ((), (), ())
    usage = extension(theirs, x509.KeyUsage)
    assert (ours.key_usage is None) == (usage is None)
    if isinstance(usage, x509.KeyUsage):
        assert ours.may("digitalSignature") == usage.digital_signature
        assert ours.may("keyCertSign") == usage.key_cert_sign
        assert ours.may("cRLSign") == usage.crl_sign
    purposes = extension(theirs, x509.ExtendedKeyUsage)
    listed = [oid.dotted_string for oid in purposes] if isinstance(purposes, x509.ExtendedKeyUsage) else None
    assert ours.extended_key_usage == (None if listed is None else tuple(listed))
    constraints = extension(theirs, x509.BasicConstraints)
    assert (ours.basic_constraints is None) == (constraints is None)
    if isinstance(constraints, x509.BasicConstraints):
        assert ours.basic_constraints is not None
        assert ours.basic_constraints.is_ca == constraints.ca
        assert ours.basic_constraints.path_length == constraints.path_length
    identifier = extension(theirs, x509.SubjectKeyIdentifier)
    assert ours.subject_key_identifier == getattr(identifier, "digest", None)
    authority = extension(theirs, x509.AuthorityKeyIdentifier)
    assert ours.authority_key_identifier == getattr(authority, "key_identifier", None)
    assert ours.extensions == {one.oid.dotted_string for one in theirs.extensions}


@pytest.mark.parametrize("der", SAMPLES, ids=lambda der: str(len(der)))
def test_a_certificate_without_a_fault(der: bytes) -> None:
    theirs = by_cryptography(der)
    assert theirs is not None
    compare(read(der), theirs)


def both(der: bytes) -> None:
    theirs = by_cryptography(der)
    try:
        ours = read(der)
    except Unreadable:
        assert theirs is None
        return
    if theirs is None:
        assert ours.unreadable
    else:
        compare(ours, theirs)


mutations = st.lists(st.tuples(st.integers(0, 1200), st.binary(min_size=1, max_size=4)), min_size=1, max_size=3)


@FUZZ
@given(st.sampled_from(SAMPLES), mutations)
def test_a_certificate_with_other_bytes_in_it(der: bytes, changes: list[tuple[int, bytes]]) -> None:
    for at, new in changes:
        at %= len(der)
        der = (der[:at] + new + der[at + len(new) :])[: len(der)]
    both(der)


@FUZZ
@given(st.sampled_from(SAMPLES), st.integers(0, 1200), st.integers(0, 60), st.binary(max_size=8))
def test_a_certificate_with_bytes_cut_out_or_put_in(der: bytes, at: int, cut: int, new: bytes) -> None:
    at %= len(der)
    both(der[:at] + new + der[at + cut :])


#: Tag and content of a common name.
values = st.tuples(st.integers(0, 0x1E), st.binary(max_size=20) | st.text(max_size=9).map(str.encode))


@FUZZ
@given(values)
@example((0x14, b"Z\xfcrich"))
@example((0x14, "Zürich".encode()))
@example((0x13, b"ct1@pacs"))
@example((0x1E, "Ärzte".encode("utf-16-be")))
@example((0x1C, "Ärzte".encode("utf-32-be")))
@example((0x03, b"\0CT1"))
@example((0x0C, b"\xff"))
def test_a_common_name_of_any_type(value: tuple[int, bytes]) -> None:
    both(with_common_name(*value))


def with_common_name(tag: int, content: bytes) -> bytes:
    """Return a certificate with this common name and corrected lengths. Its signature is not valid."""
    pair = element(0x30, element(0x06, b"\x55\x04\x03") + element(tag, content))
    return replace_field(SAMPLES[0], SUBJECT, element(0x30, element(0x31, pair)))


@FUZZ
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    both(data)


@given(st.binary(max_size=40), st.integers(1, 6))
def test_nested_headers_without_an_end(data: bytes, octets: int) -> None:
    deep = b"".join(bytes([0x30, 0x80 | octets]) + b"\xff" * octets for _ in range(200))
    both(deep + data)


def test_a_certificate_of_800_kilobytes_is_read_in_linear_time() -> None:
    pair = element(0x30, element(0x06, b"\x55\x04\x03") + element(0x0C, b"CT1"))
    large = replace_field(SAMPLES[0], SUBJECT, element(0x30, element(0x31, pair) * 60_000))
    assert len(large) > 800_000
    start = time.process_time()
    both(large)
    assert time.process_time() - start < 10  # seconds of CPU: quadratic time would take minutes
