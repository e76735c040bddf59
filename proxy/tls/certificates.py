"""What policy reads of a certificate, taken from its DER."""

import base64
import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from proxy.policy import Certificate

#: What `cryptography` raises for a certificate that OpenSSL took but that cannot be read in full.
UNREADABLE = (
    ValueError,
    TypeError,  # a name of a type that its attribute cannot have
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


def fingerprint(der: bytes) -> str:
    """SHA-256 of a DER certificate, lower-case hex."""
    return hashlib.sha256(der).hexdigest()


def read_certificate(certificate: x509.Certificate) -> Certificate:
    """The facts of one certificate, without issuers or problem. Raises one of `UNREADABLE`."""
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    dns: tuple[str, ...] = ()
    uri: tuple[str, ...] = ()
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        pass
    else:
        dns = tuple(name.lower() for name in names.get_values_for_type(x509.DNSName))
        uri = tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
    common_names = [name.value for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return Certificate(
        sha256=fingerprint(certificate.public_bytes(Encoding.DER)),
        spki_sha256=base64.b64encode(hashlib.sha256(spki).digest()).decode("ascii"),
        subject=certificate.subject.rfc4514_string(),
        subject_cn=tuple(name for name in common_names if isinstance(name, str)),
        san_dns=dns,
        san_uri=uri,
        serial=f"{certificate.serial_number:x}",
        not_after=certificate.not_valid_after_utc.timestamp(),
    )
