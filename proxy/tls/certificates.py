"""Converts a certificate that `proxy.x509` has read into the facts that policy compares with a peer's conditions."""

from collections.abc import Iterable

from proxy import policy
from proxy.x509.certificate import Certificate, Unreadable, read

# These fields may be unreadable: no condition of a peer compares them, and OpenSSL has verified the chain with them.
_NOT_COMPARED = frozenset({"issuer", "signature algorithm"})


def read_verified(chain: Iterable[bytes]) -> tuple[Certificate, ...]:
    """Read a chain that OpenSSL has verified. Raises Unreadable if `cryptography` cannot load all of it."""
    certificates = tuple(map(read, chain))
    for certificate in certificates:
        # Raises. A certificate that only the tolerant reader accepts vouches for nothing, not even as an anchor.
        _ = certificate.parsed
    return certificates


def for_policy(certificate: Certificate) -> policy.VerifiedCertificate:
    """Return the facts of one certificate, with `issuers` and `problem` left empty.

    Raises Unreadable if `cryptography` refuses a field that policy compares: OpenSSL may have read that field
    differently, so it must not match anything.
    """
    for name, why in certificate.unreadable.items():
        if name not in _NOT_COMPARED:
            raise Unreadable(f"{name}: {why}")
    return policy.VerifiedCertificate(
        sha256=certificate.sha256,
        spki_sha256=certificate.spki_sha256,
        subject=certificate.subject.text,
        subject_cn=certificate.subject.common_names,
        san_dns=tuple(name.lower() for name in certificate.names.dns),
        san_uri=certificate.names.uri,
        serial=certificate.serial_hex,
        not_after=certificate.not_after.timestamp(),
    )
