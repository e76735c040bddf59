"""What the checks and the policy need to know of certificates, keys and CRLs, read with `cryptography`. Pure."""

import datetime
import re
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
# PFX, RFC 7292 section 4: a SEQUENCE that begins with version 3, where a certificate has another SEQUENCE.
_PKCS12 = re.compile(rb"\x30(?:[\x00-\x80]|\x81.|\x82..|\x83...)\x02\x01\x03", re.DOTALL)
_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,32})-----")  # RFC 7468 section 3
_CRL = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """One certificate. `weak` says what is too weak about its key or signature, or is empty."""

    certificate: x509.Certificate
    sha256: str
    subject: str
    public_key: bytes
    is_ca: bool
    is_self_issued: bool
    is_edwards: bool
    for_clients: bool
    for_servers: bool
    dns_names: tuple[str, ...]
    not_before: datetime.datetime
    not_after: datetime.datetime
    weak: str


@dataclass(frozen=True, slots=True)
class CrlFacts:
    """One CRL."""

    crl: x509.CertificateRevocationList
    pem: bytes
    issuer: str
    next_update: datetime.datetime | None
    _verdicts: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)  # a large list is hashed once

    def is_named_for(self, ca: CertificateFacts) -> bool:
        """Whether `ca` has the name of its issuer."""
        return self.crl.issuer == ca.certificate.subject

    def is_of(self, ca: CertificateFacts) -> bool:
        """Whether `ca` issued it: name and signature."""
        if ca.sha256 not in self._verdicts:
            self._verdicts[ca.sha256] = self.is_named_for(ca) and self._is_signed_by(ca)
        return self._verdicts[ca.sha256]

    def _is_signed_by(self, ca: CertificateFacts) -> bool:
        try:
            return self.crl.is_signature_valid(ca.certificate.public_key())  # type: ignore[arg-type]
        except _UNREADABLE:
            return False


def read_certificates(data: bytes) -> tuple[CertificateFacts, ...]:
    """The certificates of a PEM file in their order. Raises ValueError with what is wrong."""
    if b"-----BEGIN CERTIFICATE-----" not in data:
        raise ValueError(f"holds no PEM certificate{_what_instead(data)}")
    try:
        return tuple(_facts(certificate) for certificate in x509.load_pem_x509_certificates(data))
    except _UNREADABLE as error:
        raise ValueError(f"holds a certificate that cannot be read: {' '.join(str(error).split())}") from None


def _what_instead(data: bytes) -> str:
    if _PKCS12.match(data):
        return ": it is PKCS#12, take them out with `openssl pkcs12 -in FILE -nokeys -out chain.pem`"
    if data[:1] == b"\x30":
        return ": it looks like DER, convert it with `openssl x509 -inform DER`"
    return _other_pem(data)


def _other_pem(data: bytes) -> str:
    label = _LABEL.search(data)
    return f": it holds {label[1].decode()}" if label is not None else ""


def read_crls(data: bytes) -> tuple[CrlFacts, ...]:
    """The CRLs of a PEM file, or the one of a DER file. Raises ValueError with what is wrong."""
    blocks = _CRL.findall(data)
    if not blocks and data[:1] != b"\x30":
        raise ValueError("holds no CRL in PEM or DER")
    try:
        if blocks:
            crls = [x509.load_pem_x509_crl(block) for block in blocks]
        else:
            crls = [x509.load_der_x509_crl(data)]
        return tuple(
            CrlFacts(crl, crl.public_bytes(Encoding.PEM), crl.issuer.rfc4514_string(), crl.next_update_utc)
            for crl in crls
        )
    except _UNREADABLE as error:
        raise ValueError(f"holds no CRL that can be read: {' '.join(str(error).split())}") from None


class EncryptedKey(ValueError):
    """A private key that asks for a password."""


def public_key_of(key: bytes) -> bytes:
    """The public half (DER) of a PEM private key. Raises EncryptedKey, or ValueError with what is wrong."""
    try:
        public = load_pem_private_key(key, password=None).public_key()
    except TypeError:
        raise EncryptedKey(
            "is encrypted, and nobody is there to type the password: decrypt it with `openssl pkey -in FILE -out NEW`"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        instead = "" if b"PRIVATE KEY-----" in key else _other_pem(key)
        raise ValueError(f"holds no PEM private key that can be read{instead}") from None
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _facts(certificate: x509.Certificate) -> CertificateFacts:
    extensions = {extension.oid: extension.value for extension in certificate.extensions}
    constraints = extensions.get(x509.BasicConstraints.oid)
    usage = extensions.get(x509.ExtendedKeyUsage.oid)
    purposes = set(usage) if isinstance(usage, x509.ExtendedKeyUsage) else None
    names = extensions.get(x509.SubjectAlternativeName.oid)
    self_issued = certificate.issuer == certificate.subject
    if isinstance(constraints, x509.BasicConstraints):
        is_ca = constraints.ca
    else:
        # OpenSSL takes a self-issued version 1 certificate for a CA: there were no constraints to write.
        is_ca = certificate.version is x509.Version.v1 and self_issued
    key = certificate.public_key()
    return CertificateFacts(
        certificate=certificate,
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        subject=certificate.subject.rfc4514_string(),
        public_key=key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        is_ca=is_ca,
        is_self_issued=self_issued,
        is_edwards=isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey),
        # OpenSSL does not take anyExtendedKeyUsage for either, and most senders do not for a server.
        for_clients=purposes is None or ExtendedKeyUsageOID.CLIENT_AUTH in purposes,
        for_servers=purposes is None or ExtendedKeyUsageOID.SERVER_AUTH in purposes,
        dns_names=tuple(names.get_values_for_type(x509.DNSName))
        if isinstance(names, x509.SubjectAlternativeName)
        else (),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        weak=_weakness(certificate, key, self_issued=self_issued),
    )


def _weakness(certificate: x509.Certificate, key: object, *, self_issued: bool) -> str:
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
        return f"RSA key of {key.key_size} bits; 2048 are needed"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < 256:
        return f"EC key of {key.key_size} bits; 256 are needed"
    algorithm = certificate.signature_hash_algorithm
    # Nobody checks the signature that a certificate makes on itself.
    if isinstance(algorithm, hashes.SHA1 | hashes.MD5) and not self_issued:
        return f"signed with {algorithm.name.upper()}; SHA-256 is needed"
    return ""
