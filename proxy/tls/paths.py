"""The rules of a certification path (RFC 5280 section 6), as OpenSSL reads them for client certificates.

Issuers, signatures, validity, basicConstraints, path length, key usage. Not name constraints and policies.
"""

from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

from proxy.policy import Reason
from proxy.tls.strength import is_weak_hash

Refusal = tuple[Reason, str]
Chain = tuple[x509.Certificate, ...]


def issued(issuer: x509.Certificate, subject: x509.Certificate) -> bool:
    """Whether `issuer` signed `subject`, by name and signature."""
    if issuer.subject != subject.issuer:
        return False
    try:
        subject.verify_directly_issued_by(issuer)
    except InvalidSignature:
        return False
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # `cryptography` verifies no SHA-1. To name that is better than "unknown CA"; `weakness` refuses the chain.
        return is_weak_hash(subject)
    return True


def check_chain(chain: Chain, now: float) -> Refusal | None:
    """What is wrong with a chain of valid signatures, leaf first."""
    for depth, certificate in enumerate(chain):
        name = certificate.subject.rfc4514_string()
        if now < certificate.not_valid_before_utc.timestamp():
            return Reason.CLIENT_CERTIFICATE_NOT_YET_VALID, f"{name}: valid from {certificate.not_valid_before_utc}"
        if now > certificate.not_valid_after_utc.timestamp():
            return Reason.CLIENT_CERTIFICATE_EXPIRED, f"{name}: expired on {certificate.not_valid_after_utc}"
        usages = _extension(certificate, x509.ExtendedKeyUsage)
        if usages is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
            return Reason.CLIENT_CERTIFICATE_WRONG_USAGE, f"{name}: extended key usage without clientAuth"
        key_usage = _extension(certificate, x509.KeyUsage)
        if depth == 0:
            if key_usage is not None and not (key_usage.digital_signature or key_usage.key_agreement):
                return Reason.CLIENT_CERTIFICATE_WRONG_USAGE, f"{name}: key usage without digitalSignature"
            continue
        constraints = _extension(certificate, x509.BasicConstraints)
        if constraints is None or not constraints.ca or (key_usage is not None and not key_usage.key_cert_sign):
            return Reason.CLIENT_CERTIFICATE_UNTRUSTED, f"{name} is no CA"
        below = sum(one.subject != one.issuer for one in chain[1:depth])
        if constraints.path_length is not None and below > constraints.path_length:
            return Reason.CLIENT_CERTIFICATE_UNTRUSTED, f"{name}: path length {constraints.path_length} exceeded"
    return None


_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def has_name_constraints(certificate: x509.Certificate) -> bool:
    """Whether what is below `certificate` is limited in its names."""
    return _extension(certificate, x509.NameConstraints) is not None
