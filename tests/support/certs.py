"""Certificates for tests: `ca`, `leaf`, `self_signed`, `crl`.

Validity is relative to the real clock, because OpenSSL verifies by it.
"""

import datetime
import functools
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proxy.x509.certificate import Certificate, read

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
EMAIL = ExtendedKeyUsageOID.EMAIL_PROTECTION
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE

DAY = datetime.timedelta(days=1)
_CURVES: dict[str, type[ec.EllipticCurve]] = {
    "p192": ec.SECP192R1,
    "p224": ec.SECP224R1,
    "p256": ec.SECP256R1,
    "p384": ec.SECP384R1,
    "p521": ec.SECP521R1,
}


def now() -> datetime.datetime:
    """The time by which validity is given, whole seconds."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


@functools.cache
def key(kind: str = "p256", slot: str = "") -> PrivateKey:
    """A private key: p192 to p521, ed25519 or rsa<bits>. Equal arguments give the same key (RSA is slow)."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(kind[3:]))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(_CURVES[kind]())


@dataclass(frozen=True)
class Issued:
    """A certificate, its key and its issuer (None: self-signed)."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    issuer: "Issued | None" = None

    @property
    def pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The certificate alone, DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def facts(self) -> Certificate:
        """The certificate as the gateway reads it."""
        return read(self.der)

    @property
    def sha256(self) -> str:
        """Fingerprint, lower-case hex without colons."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def chain_pem(self) -> bytes:
        """The certificate and the intermediates above it, without the root, as a peer sends them."""
        above = self.issuer
        pem = self.pem
        while above is not None and above.issuer is not None:
            pem += above.pem
            above = above.issuer
        return pem

    @property
    def key_pem(self) -> bytes:
        """The unencrypted PKCS#8 key."""
        return self.encrypted_key_pem(None)

    def encrypted_key_pem(self, password: bytes | None) -> bytes:
        """The PKCS#8 key under a password."""
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password is not None:
            encryption = serialization.BestAvailableEncryption(password)
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def name(common_name: str) -> x509.Name:
    """A distinguished name of one CN."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _issue(
    subject: str,
    issuer: Issued | None,
    private_key: PrivateKey,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    valid: tuple[datetime.datetime, datetime.datetime] | None,
) -> Issued:
    signing_key = private_key if issuer is None else issuer.key
    not_before, not_after = valid or (now() - DAY, now() + 30 * DAY)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(subject) if issuer is None else issuer.certificate.subject)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private_key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()),
            critical=False,
        )
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    algorithm = None if isinstance(signing_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Issued(builder.sign(signing_key, algorithm), private_key, issuer)


def ca(
    subject: str = "Test CA",
    *,
    issuer: Issued | None = None,
    kind: str = "p256",
    pathlen: int | None = None,
    valid: tuple[datetime.datetime, datetime.datetime] | None = None,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    slot: str = "",
) -> Issued:
    """A CA certificate: a root, or below `issuer`. `slot` tells the keys of equally named CAs apart."""
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    extensions = [(x509.BasicConstraints(True, pathlen), True), (usage, True), *extra]
    return _issue(subject, issuer, key(kind, f"ca {subject} {slot}"), extensions, valid)


def renamed(authority: Issued, subject: x509.Name) -> Issued:
    """A self-signed CA certificate of the same key under another subject: the issuer that its leaves then name."""
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(authority.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - DAY)
        .not_valid_after(now() + DAY)
        .sign(authority.key, None if isinstance(authority.key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )
    return Issued(certificate, authority.key)


def leaf(
    subject: str,
    issuer: Issued,
    *,
    eku: Sequence[x509.ObjectIdentifier] | None = (CLIENT,),
    dns: Sequence[str] = (),
    uri: Sequence[str] = (),
    ip: Sequence[str] = (),
    kind: str = "p256",
    valid: tuple[datetime.datetime, datetime.datetime] | None = None,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    slot: str = "",
) -> Issued:
    """An end-entity certificate (CA:FALSE) issued by `issuer`; `eku` None leaves the extension out."""
    extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(False, None), True)]
    if eku is not None:
        extensions.append((x509.ExtendedKeyUsage(eku), False))
    names: list[x509.GeneralName] = [x509.DNSName(value) for value in dns]
    names += [x509.UniformResourceIdentifier(value) for value in uri]
    names += [x509.IPAddress(ipaddress.ip_address(value)) for value in ip]
    if names:
        extensions.append((x509.SubjectAlternativeName(names), False))
    private_key = key(kind, f"leaf {subject} {slot}")
    return _issue(subject, issuer, private_key, [*extensions, *extra], valid)


_RSA_HASHES: dict[str, tuple[bytes, hashes.HashAlgorithm]] = {  # last octet of the algorithm (RFC 8017 appendix A.2.4)
    "md5": (b"\x04", hashes.MD5()),
    "sha1": (b"\x05", hashes.SHA1()),
    "sha224": (b"\x0e", hashes.SHA224()),
}


def signed_with(issued: Issued, hash_name: str) -> Issued:
    """The same certificate signed with md5, sha1 or sha224 by its RSA issuer, which `cryptography` may not issue."""
    signing_key = issued.key if issued.issuer is None else issued.issuer.key
    assert isinstance(signing_key, rsa.RSAPrivateKey)
    octet, algorithm = _RSA_HASHES[hash_name]
    sha256_rsa, other_rsa = (bytes.fromhex("06092a864886f70d0101") + last for last in (b"\x0b", octet))
    tbs = issued.certificate.tbs_certificate_bytes.replace(sha256_rsa, other_rsa)
    der = issued.der.replace(sha256_rsa, other_rsa)
    signature = signing_key.sign(tbs, padding.PKCS1v15(), algorithm)
    der = der.replace(issued.certificate.signature, signature)
    return Issued(x509.load_der_x509_certificate(der), issued.key, issued.issuer)


def sha1_signed(issued: Issued) -> Issued:
    """As `signed_with`, with SHA-1."""
    return signed_with(issued, "sha1")


def server(subject: str, issuer: Issued, *, dns: Sequence[str] = (), kind: str = "p256", slot: str = "") -> Issued:
    """A server certificate for the DNS names (default: the subject)."""
    return leaf(subject, issuer, eku=(SERVER,), dns=dns or (subject,), kind=kind, slot=slot)


def self_signed(
    subject: str,
    *,
    ca_flag: bool | None = True,
    kind: str = "p256",
    valid: tuple[datetime.datetime, datetime.datetime] | None = None,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    slot: str = "",
) -> Issued:
    """A certificate as `openssl req -x509` makes it: self-signed and CA:TRUE. `ca_flag` None: no basicConstraints."""
    extensions = list(extra)
    if ca_flag is not None:
        extensions.insert(0, (x509.BasicConstraints(ca_flag, None), True))
    return _issue(subject, None, key(kind, f"self {subject} {slot}"), extensions, valid)


def crl(
    issuer: Issued,
    revoked: Sequence[Issued] = (),
    *,
    last_update: datetime.datetime | None = None,
    next_update: datetime.datetime | None = None,
    signed_by: Issued | None = None,
) -> bytes:
    """A PEM CRL of `issuer`; `signed_by` forges the signature with another key."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(last_update or now() - DAY)
        .next_update(next_update or now() + 7 * DAY)
    )
    for entry in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(entry.certificate.serial_number)
            .revocation_date(last_update or now() - DAY)
            .build()
        )
    signer = (signed_by or issuer).key
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signer, algorithm).public_bytes(serialization.Encoding.PEM)
