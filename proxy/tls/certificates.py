"""Makes the certificate that policy compares with the conditions of a peer from the one that `proxy.x509` read."""

from collections.abc import Iterable

from proxy import policy
from proxy.x509.certificate import Certificate, Unreadable, read

# Policy compares neither, and OpenSSL has used both.
_NOT_COMPARED = frozenset({"issuer", "signature algorithm"})


def read_verified(chain: Iterable[bytes]) -> tuple[Certificate, ...]:
    """Read a chain that OpenSSL has verified. Raises Unreadable if `cryptography` cannot load one of it.

    A certificate that is read tolerantly alone vouches for nothing: it may not even end a chain.
    """
    certificates = tuple(map(read, chain))
    for certificate in certificates:
        _ = certificate.parsed
    return certificates


def for_policy(certificate: Certificate) -> policy.VerifiedCertificate:
    """Return the facts of one certificate, without its issuers and without a problem.

    Raises Unreadable where `cryptography` refuses one of its fields: OpenSSL may have read the field otherwise than we
    did, so it must not match anything.
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
