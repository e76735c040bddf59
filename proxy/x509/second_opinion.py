"""Asks `cryptography` for its reading of a certificate, and for the fields that it refuses."""

import warnings
from collections.abc import Callable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

#: The exceptions of `cryptography` for a certificate or a field that it refuses.
REFUSALS = (
    ValueError,
    TypeError,  # a name of a type that its attribute cannot have
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

# `cryptography` parses lazily: loading succeeds with broken fields, and the exception comes when a field is read.
_LOOKS: dict[str, Callable[[x509.Certificate], object]] = {
    "serial": lambda certificate: certificate.serial_number,
    "signature algorithm": lambda certificate: certificate.signature_hash_algorithm,
    "issuer": lambda certificate: certificate.issuer.rfc4514_string(),
    "validity": lambda certificate: (certificate.not_valid_before_utc, certificate.not_valid_after_utc),
    "subject": lambda certificate: certificate.subject.rfc4514_string(),
    "public key": lambda certificate: certificate.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    ),
    "extensions": lambda certificate: certificate.extensions,
}
#: The fields that `second_opinion` reads.
FIELDS = frozenset(_LOOKS)


def second_opinion(der: bytes) -> tuple[x509.Certificate | None, dict[str, str]]:
    """Return the certificate as `cryptography` loads it, None if it cannot, and each refused field with the reason."""
    refused: dict[str, str] = {}
    with warnings.catch_warnings():
        # `cryptography` warns of faults that it tolerates (a serial of zero, a country of three letters). Old devices
        # have them, and each connection would print a line.
        warnings.simplefilter("ignore")
        try:
            parsed = x509.load_der_x509_certificate(der)
        except REFUSALS as error:
            return None, {"certificate": in_one_line(error)}
        for name, look in _LOOKS.items():
            try:
                look(parsed)
            except REFUSALS as error:
                refused[name] = in_one_line(error)
    return parsed, refused


def in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
