"""Builds keys, certificates, requests, CRLs and PKCS#12 for the dev PKI. Values in, values out: no file, no clock.

Certificates have the extensions that the strictest verifiers require (RFC 5280; `VERIFY_X509_STRICT`): critical
basicConstraints and keyUsage, a subject key identifier, and an authority key identifier unless they are self-signed.
"""

import datetime
import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proxy.x509.der import DerError, read_element
from proxy.x509.keys import read_key
from proxy.x509.requests import read_request
from proxy.x509.strength import key_weakness

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
KeyType = Literal["ec", "rsa"]
Usage = Literal["client", "server"]

CA_DAYS = 3652  # ten years
SERVER_DAYS = 397  # the longest that browsers and operating systems accept of a server (CA/Browser Forum 6.3.2)
CLIENT_DAYS = 825  # long, as devices are seldom serviced; the longest that Apple's platforms accept of any certificate
CLOCK_SKEW = datetime.timedelta(hours=1)  # validity begins this much earlier, for modalities whose clock is slow

RSA_CA_BITS = 3072  # strong enough for ten years
RSA_LEAF_BITS = 2048  # it signs in every handshake, so it has to be fast

_DNS_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_EKU = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}


class IssuingError(Exception):
    """A value cannot be put into a certificate. The text names the value and the rule."""


@dataclass(frozen=True, slots=True)
class Names:
    """Subject alternative names, checked: DNS names in lower case (`*.` in front is one label), URIs, addresses."""

    dns: tuple[str, ...] = ()
    uri: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()

    @staticmethod
    def parse(dns: Iterable[str] = (), uri: Iterable[str] = (), ip: Iterable[str] = ()) -> "Names":
        """Check and normalize names from a command line. Raises IssuingError, which names the value."""
        names = tuple(dict.fromkeys(text.lower().removesuffix(".") for text in dns))
        for name in names:
            labels = name.removeprefix("*.").split(".")
            if len(name) > 253 or not all(_DNS_LABEL.fullmatch(label) for label in labels):
                raise IssuingError(f"{name!r} is not a DNS name (an international one is written as xn--...)")
            if labels[-1].isdigit():
                raise IssuingError(f"{name!r} is not a DNS name; give an address with --ip")
        uris = tuple(dict.fromkeys(uri))
        for text in uris:
            if not _URI.fullmatch(text):
                raise IssuingError(f"{text!r} is not a URI, e.g. spiffe://example.org/ct/1")
        try:
            addresses = tuple(dict.fromkeys(str(ipaddress.ip_address(text)) for text in ip))
        except ValueError as error:
            raise IssuingError(f"not an IP address: {error}") from None
        return Names(names, uris, addresses)

    def __bool__(self) -> bool:
        return bool(self.dns or self.uri or self.ip)

    def extension(self) -> x509.SubjectAlternativeName:
        return x509.SubjectAlternativeName(
            [
                *(x509.DNSName(name) for name in self.dns),
                *(x509.UniformResourceIdentifier(text) for text in self.uri),
                *(x509.IPAddress(ipaddress.ip_address(text)) for text in self.ip),
            ]
        )


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey


def generate_key(key_type: KeyType, *, rsa_bits: int = RSA_LEAF_BITS) -> PrivateKey:
    """Generate a key. EC means P-256, the one curve that every DICOM peer has."""
    if key_type == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits)


def key_pem(key: PrivateKey) -> bytes:
    """Return PKCS#8 PEM without a password, which DCMTK, Orthanc and the gateway read unattended."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def chain_pem(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def build_authority(
    common_name: str, key_type: KeyType, now: datetime.datetime, *, issuer: Authority | None = None
) -> Authority:
    """Build a root (no issuer), or an intermediate that may issue only end-entity certificates (path length 0)."""
    key = generate_key(key_type, rsa_bits=RSA_CA_BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        _builder(subject, key.public_key(), now, CA_DAYS, issuer)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1 if issuer is None else 0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
    )
    return Authority(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def build_certificate(
    common_name: str,
    public_key: PublicKey,
    names: Names,
    usage: Sequence[Usage],
    issuer: Authority,
    now: datetime.datetime,
    days: int,
) -> x509.Certificate:
    """Build an end-entity certificate, which never outlives its issuer.

    Raises IssuingError for a weak key or an expired issuer.
    """
    check_key_strength(public_key)
    if now >= issuer.certificate.not_valid_after_utc:
        raise IssuingError(f"the CA expired on {issuer.certificate.not_valid_after_utc:%Y-%m-%d}")
    # In the legacy profiles, static RSA key exchange encrypts to the server's key, and clients then require
    # keyEncipherment (RFC 5246 7.4.2).
    encipher = "server" in usage and isinstance(public_key, rsa.RSAPublicKey)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    return (
        _builder(subject, public_key, now, days, issuer)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True, key_encipherment=encipher), critical=True)
        .add_extension(x509.ExtendedKeyUsage([_EKU[kind] for kind in usage]), critical=False)
        .add_extension(names.extension(), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )


def build_request(
    common_name: str, key: PrivateKey, names: Names, usage: Sequence[Usage]
) -> x509.CertificateSigningRequest:
    """Build a PKCS#10 request for another CA."""
    builder = x509.CertificateSigningRequestBuilder(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    ).add_extension(x509.ExtendedKeyUsage([_EKU[kind] for kind in usage]), critical=False)
    if names:
        builder = builder.add_extension(names.extension(), critical=False)
    return builder.sign(key, hashes.SHA256())


def request_key(data: bytes) -> PublicKey:
    """Return the public key of a PEM or DER request. Raises IssuingError if its signature does not verify.

    The names in the request are ignored: the administrator gives them, not the device.
    """
    try:
        request = read_request(data)
        key = request.parsed.public_key()
    except ValueError as error:
        raise IssuingError(f"not a certificate signing request: {error}") from None
    if not request.signature_valid:
        raise IssuingError("the signature of the request does not verify")
    if not isinstance(key, PublicKey):
        raise IssuingError("the key of the request is neither RSA nor EC, and DCMTK reads no other kind")
    return key


def check_key_strength(key: PublicKey) -> None:
    """Raise IssuingError for a key that the gateway would refuse."""
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        weak = key_weakness(read_key(read_element(spki)))
    except DerError as error:
        weak = f"the key cannot be read: {error}"
    if weak is not None:
        raise IssuingError(weak)


def build_crl(
    issuer: Authority,
    revoked: Iterable[tuple[int, datetime.datetime]],
    number: int,
    now: datetime.datetime,
    next_update: datetime.datetime,
) -> x509.CertificateRevocationList:
    """Build a CRL. `revoked` holds the serial and the time of each revocation."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now)
        .next_update(next_update)
        .add_extension(_authority_key_identifier(issuer), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for serial, when in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(issuer.key, hashes.SHA256())


def build_pkcs12(
    name: str,
    key: PrivateKey,
    chain: Sequence[x509.Certificate],
    password: str | None,
    *,
    legacy: bool = False,
) -> bytes:
    """Return key and chain as PKCS#12, unencrypted if `password` is None.

    The encryption is AES-256, which needs Java 8u301 or Windows 10 1709. `legacy`: 3DES and SHA-1, for older systems.
    """
    encryption: serialization.KeySerializationEncryption
    if password is None:
        encryption = serialization.NoEncryption()
    else:
        builder = serialization.PrivateFormat.PKCS12.encryption_builder()
        if legacy:
            builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC).hmac_hash(hashes.SHA1())  # noqa: S303
        else:
            builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC).hmac_hash(hashes.SHA256())
        encryption = builder.kdf_rounds(50_000).build(password.encode())
    return pkcs12.serialize_key_and_certificates(name.encode(), key, chain[0], chain[1:], encryption)


def _builder(
    subject: x509.Name, public_key: PublicKey, now: datetime.datetime, days: int, issuer: Authority | None
) -> x509.CertificateBuilder:
    not_after = now + datetime.timedelta(days=days)
    if issuer is not None:
        not_after = min(not_after, issuer.certificate.not_valid_after_utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    return builder.add_extension(_authority_key_identifier(issuer), critical=False) if issuer else builder


def _authority_key_identifier(issuer: Authority) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
