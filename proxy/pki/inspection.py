"""What is in a certificate, CRL or request file, and where in a configuration a certificate could stand. Pure."""

import base64
import datetime
import hashlib
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID

from proxy.pki.issuing import IssuingError, check_key_strength
from proxy.tls.certificates import UNREADABLE

_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\r?\n.*?-----END \1-----", re.DOTALL)
_EKU_WORDS = {
    ExtendedKeyUsageOID.SERVER_AUTH: "server",
    ExtendedKeyUsageOID.CLIENT_AUTH: "client",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "any",
}
_CURVE_WORDS = {"secp224r1": "P-224", "secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_SHA256_SIZE = 32  # bytes


class InspectionError(Exception):
    """The file holds nothing that can be shown; says what it holds."""


@dataclass(frozen=True, slots=True)
class Use:
    """A place in the configuration, and whether the certificate can stand there; `detail`: why not, or what to know."""

    place: str
    possible: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """One certificate. `usage`: extendedKeyUsage, None without one. `spki_sha256`: base64, as in `peers[].cert`."""

    subject: str
    issuer: str
    serial: str
    not_before: datetime.datetime
    not_after: datetime.datetime
    key: str
    signature: str
    is_ca: bool
    dns: tuple[str, ...]
    uri: tuple[str, ...]
    ip: tuple[str, ...]
    usage: tuple[str, ...] | None
    sha256: str
    spki_sha256: str
    uses: tuple[Use, ...]


@dataclass(frozen=True, slots=True)
class CrlFacts:
    """One CRL. The serials are hex."""

    issuer: str
    number: int | None
    last_update: datetime.datetime
    next_update: datetime.datetime | None
    revoked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """One certificate signing request."""

    subject: str
    key: str
    signature_valid: bool
    dns: tuple[str, ...]
    uri: tuple[str, ...]
    ip: tuple[str, ...]


Facts = CertificateFacts | CrlFacts | RequestFacts


def inspect(data: bytes, now: datetime.datetime) -> list[Facts]:
    """Everything that a PEM or DER file holds but private keys. Raises InspectionError."""
    blocks = [(match[1].decode(), match[0]) for match in _PEM_BLOCK.finditer(data)]
    with warnings.catch_warnings():  # of old devices' certificates (serial 0); to look at one is why this is called
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            facts = list(_pem_facts(blocks, now)) if blocks else [_der_facts(data, now)]
        except UNREADABLE as error:
            raise InspectionError(f"cannot be read: {error}") from None
    if not facts:
        raise InspectionError(f"holds {blocks[0][0]} and no certificate, CRL or request")
    return facts


def certificate_facts(certificate: x509.Certificate, now: datetime.datetime) -> CertificateFacts:
    """Raises ValueError and its like for a certificate whose extensions are broken."""
    key = certificate.public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    dns, uri, ip = _names(certificate.extensions)
    return CertificateFacts(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        serial=f"{certificate.serial_number:x}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key=_describe_key(key),
        signature=certificate.signature_hash_algorithm.name if certificate.signature_hash_algorithm else "none",
        is_ca=_is_ca(certificate),
        dns=dns,
        uri=uri,
        ip=ip,
        usage=_usage(certificate),
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        spki_sha256=base64.b64encode(hashlib.sha256(spki).digest()).decode(),
        uses=tuple(_uses(certificate, key, dns, now)),
    )


def _pem_facts(blocks: list[tuple[str, bytes]], now: datetime.datetime) -> Iterator[Facts]:
    for label, block in blocks:
        if label in ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"):
            yield certificate_facts(x509.load_pem_x509_certificate(block), now)
        elif label == "X509 CRL":
            yield _crl_facts(x509.load_pem_x509_crl(block))
        elif label in ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"):
            yield _request_facts(x509.load_pem_x509_csr(block))


def _der_facts(data: bytes, now: datetime.datetime) -> Facts:
    try:
        return certificate_facts(x509.load_der_x509_certificate(data), now)
    except ValueError:
        pass
    try:
        return _crl_facts(x509.load_der_x509_crl(data))
    except ValueError:
        pass
    try:
        return _request_facts(x509.load_der_x509_csr(data))
    except ValueError:
        raise InspectionError(
            "holds no certificate, CRL or request in PEM or DER "
            "(PKCS#12: openssl pkcs12 -in FILE -nokeys -out certificates.pem)"
        ) from None


def _crl_facts(crl: x509.CertificateRevocationList) -> CrlFacts:
    try:
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        number = None
    serials = tuple(f"{entry.serial_number:x}" for entry in crl)
    return CrlFacts(crl.issuer.rfc4514_string(), number, crl.last_update_utc, crl.next_update_utc, serials)


def _request_facts(request: x509.CertificateSigningRequest) -> RequestFacts:
    key = _describe_key(request.public_key())
    return RequestFacts(request.subject.rfc4514_string(), key, request.is_signature_valid, *_names(request.extensions))


def _uses(
    certificate: x509.Certificate, key: CertificatePublicKeyTypes, dns: tuple[str, ...], now: datetime.datetime
) -> Iterator[Use]:
    """Where the certificate may stand in a configuration."""
    unfit = _unfit(certificate, key, now)
    usage = _usage(certificate)
    for kind, place in (
        ("server", "listeners.*.tls.certificates"),
        ("client", "sent by a device, matched by peers[].cert"),
        ("client", "peers[].cert.file (pinned)"),
    ):
        if unfit:
            yield Use(place, False, unfit)
        elif usage is not None and kind not in usage:
            # OpenSSL does not take "any" for it.
            yield Use(place, False, f"its extendedKeyUsage does not allow {kind} authentication")
        elif not _may_sign_handshakes(certificate):
            yield Use(place, False, "its keyUsage does not allow it to sign handshakes")
        elif kind == "server" and not dns:
            yield Use(place, True, "no DNS name: senders that check the name of the server will not connect")
        elif place.endswith("(pinned)") and _is_ca(certificate):
            yield Use(place, True, "a CA certificate; pinned it stands for itself and can issue nothing")
        else:
            yield Use(place, True)
    if not _is_ca(certificate):
        yield Use("client_auth.ca", False, "not a CA certificate; a device's own goes under peers[].cert.file")
    elif not _may_sign_certificates(certificate):
        yield Use("client_auth.ca", False, "its keyUsage does not allow it to sign certificates")
    else:
        yield Use("client_auth.ca", not unfit, unfit)


def _unfit(certificate: x509.Certificate, key: CertificatePublicKeyTypes, now: datetime.datetime) -> str:
    """Why nobody would accept it, or ""."""
    if now > certificate.not_valid_after_utc:
        return f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if now < certificate.not_valid_before_utc:
        return f"not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return f"{_describe_key(key)} keys are not understood by DCMTK; use EC P-256 or RSA"
    try:
        check_key_strength(key)
    except IssuingError as error:
        return str(error)
    digest = certificate.signature_hash_algorithm
    if certificate.subject != certificate.issuer and digest is not None and digest.digest_size < _SHA256_SIZE:
        return f"signed with {digest.name}; SHA-256 is the least"
    return ""


def _names(extensions: x509.Extensions) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), (), ()
    return (
        tuple(names.get_values_for_type(x509.DNSName)),
        tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        tuple(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    )


def _usage(certificate: x509.Certificate) -> tuple[str, ...] | None:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    return tuple(_EKU_WORDS.get(oid, oid.dotted_string) for oid in usage)


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _may_sign_certificates(certificate: x509.Certificate) -> bool:
    usage = _key_usage(certificate)
    return usage is None or usage.key_cert_sign


def _may_sign_handshakes(certificate: x509.Certificate) -> bool:
    usage = _key_usage(certificate)
    return usage is None or usage.digital_signature


def _key_usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _describe_key(key: CertificatePublicKeyTypes) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {_CURVE_WORDS.get(key.curve.name, key.curve.name)}"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519"
    if isinstance(key, ed448.Ed448PublicKey):
        return "Ed448"
    return type(key).__name__.removesuffix("PublicKey").lstrip("_")
