"""Certificate revocation lists (RFC 5280 section 5): read once, signature checked, asked about their issuers only.

OpenSSL is not asked to check them: it would refuse every certificate whose issuer has no list.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from proxy.config.values import File
from proxy.tls.errors import TlsSetupError

_BEGIN, _END = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"

#: An issuer is its name and its key, so that a renewed CA certificate keeps its list.
IssuerKey = tuple[bytes, bytes]


def issuer_key(certificate: x509.Certificate) -> IssuerKey:
    """What identifies `certificate` as an issuer. Raises ValueError or UnsupportedAlgorithm for an unknown key."""
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return certificate.subject.public_bytes(), spki


@dataclass(frozen=True, slots=True)
class RevocationList:
    """The serial numbers that one issuer revoked; `next_update` in seconds since the epoch."""

    serials: frozenset[int]
    next_update: float
    path: str


@dataclass(frozen=True, slots=True)
class RevocationStatus:
    """What the lists say of a chain: which one revokes a certificate of it, and which one asked is the first to end."""

    revoked_by: RevocationList | None = None
    first_to_end: RevocationList | None = None


class RevocationLists:
    """All lists of one trust store, by issuer."""

    def __init__(self, files: Sequence[File], authorities: Iterable[x509.Certificate]) -> None:
        """Raises `TlsSetupError` where a list cannot be read or is not signed by one of `authorities`."""
        self._lists: dict[IssuerKey, list[RevocationList]] = {}
        issuers = list(authorities)
        for file in files:
            for crl in _parse(file):
                self._lists.setdefault(_find_issuer(file, crl, issuers), []).append(_read(file, crl))

    def status(self, chain: Sequence[x509.Certificate]) -> RevocationStatus:
        """Look up every certificate of `chain` (leaf first) whose issuer stands behind it and has a list."""
        if not self._lists:
            return RevocationStatus()
        revoked_by: RevocationList | None = None
        first: RevocationList | None = None
        for certificate, issuer in itertools.pairwise(chain):
            for crl in self._lists.get(issuer_key(issuer), ()):
                if revoked_by is None and certificate.serial_number in crl.serials:
                    revoked_by = crl
                if first is None or crl.next_update < first.next_update:
                    first = crl
        return RevocationStatus(revoked_by, first)


def _parse(file: File) -> Iterator[x509.CertificateRevocationList]:
    """Every list of a PEM file, or the one of a DER file; a PEM block that is cut off is an error."""
    blocks = file.data.split(_BEGIN)[1:]
    if len(blocks) != file.data.count(_END):
        raise TlsSetupError(file, "a CRL is cut off")
    try:
        if not blocks:
            yield x509.load_der_x509_crl(file.data)
        for block in blocks:
            yield x509.load_pem_x509_crl(_BEGIN + block)
    except ValueError as error:
        raise TlsSetupError(file, f"holds no CRL that can be read ({error})") from None


def _find_issuer(file: File, crl: x509.CertificateRevocationList, authorities: Sequence[x509.Certificate]) -> IssuerKey:
    """The authority that signed `crl`."""
    name = crl.issuer.rfc4514_string()
    named = [authority for authority in authorities if authority.subject == crl.issuer]
    if not named:
        raise TlsSetupError(file, f"the CRL is issued by {name}, which is not among the CAs here")
    for authority in named:
        try:
            if crl.is_signature_valid(authority.public_key()):  # type: ignore[arg-type]  # other keys: TypeError
                return issuer_key(authority)
        except (TypeError, ValueError, UnsupportedAlgorithm):
            continue
    raise TlsSetupError(file, f"the CRL of {name} is not signed by that CA's key, or not with SHA-2")


def _read(file: File, crl: x509.CertificateRevocationList) -> RevocationList:
    """The serials of a complete, direct list: a partial one would pass the certificates that it leaves out."""
    try:
        for extension in crl.extensions:
            scope = extension.value
            whole = isinstance(scope, x509.IssuingDistributionPoint) and not (
                scope.indirect_crl
                or scope.only_some_reasons
                or scope.only_contains_ca_certs
                or scope.only_contains_user_certs
                or scope.only_contains_attribute_certs
            )
            if extension.critical and not whole:
                raise TlsSetupError(file, f"partial CRL (critical extension {extension.oid.dotted_string})")
        if crl.next_update_utc is None:
            raise TlsSetupError(file, "the CRL has no nextUpdate")
        serials = frozenset(entry.serial_number for entry in crl)
    except ValueError as error:
        raise TlsSetupError(file, f"the CRL cannot be read ({error})") from None
    return RevocationList(serials, crl.next_update_utc.timestamp(), file.path)
