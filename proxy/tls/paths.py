"""Whether a CA stands above a chain that OpenSSL has verified up to one of its own anchors (RFC 5280 section 6.1)."""

from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

Chain = tuple[x509.Certificate, ...]


def stands_above(authority: x509.Certificate, chain: Chain, now: float) -> bool:
    """Whether `authority` issued the last certificate of `chain` (leaf first), may have done so, and is valid `now`.

    An authority that limits names does not count: whether the chain keeps to them is not looked at here.
    """
    if not issued(authority, chain[-1]):
        return False
    if not authority.not_valid_before_utc.timestamp() <= now <= authority.not_valid_after_utc.timestamp():
        return False
    constraints = _extension(authority, x509.BasicConstraints)
    key_usage = _extension(authority, x509.KeyUsage)
    usages = _extension(authority, x509.ExtendedKeyUsage)
    intermediates = sum(one.subject != one.issuer for one in chain[1:])
    return (
        constraints is not None
        and constraints.ca
        and (constraints.path_length is None or intermediates <= constraints.path_length)
        and (key_usage is None or key_usage.key_cert_sign)
        and (usages is None or ExtendedKeyUsageOID.CLIENT_AUTH in usages)
        and _extension(authority, x509.NameConstraints) is None
    )


def issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether `authority` has the name and the key by which `certificate` was issued, be it valid or not."""
    if authority.subject != certificate.issuer:
        return False
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
