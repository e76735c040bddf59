"""Reads certificate signing requests (PKCS #10, RFC 2986) with `cryptography`."""

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from proxy.x509.der import read_element
from proxy.x509.files import blocks
from proxy.x509.keys import Key, read_key
from proxy.x509.names import NO_NAMES, AlternativeNames, read_alternative_names
from proxy.x509.second_opinion import REFUSALS, in_one_line

REQUEST_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `subject`: RFC 4514 text. `signature_valid`: the requester has the private key of `key`."""

    parsed: x509.CertificateSigningRequest = field(repr=False)
    subject: str
    key: Key
    names: AlternativeNames
    signature_valid: bool


def read_request(data: bytes) -> Request:
    """Read the first request of a PEM file, or the one request of a DER file. Raises ValueError with the fault."""
    der = next((block for label, block in blocks(data) if label in REQUEST_LABELS), data)
    try:
        request = x509.load_der_x509_csr(der)
        spki = request.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return Request(
            request,
            request.subject.rfc4514_string(),
            read_key(read_element(spki)),
            _names(request.extensions),
            request.is_signature_valid,
        )
    except REFUSALS as error:
        raise ValueError(in_one_line(error)) from None


def _names(extensions: x509.Extensions) -> AlternativeNames:
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return NO_NAMES
    return read_alternative_names(read_element(names.public_bytes()))
