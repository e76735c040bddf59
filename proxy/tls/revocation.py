"""Looks up certificates in revocation lists (RFC 5280 section 5). Lists are read and verified once, at construction.

OpenSSL's own check is not used: with its flag, OpenSSL refuses every certificate whose issuer has no list.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from proxy.config.values import File
from proxy.tls.errors import TlsSetupError
from proxy.x509.certificate import Certificate
from proxy.x509.crl import Crl, read_crls

#: Name and key (SPKI) of an issuer. A CA certificate that was renewed with the same key is the same issuer, so its list
#: still applies; another CA of the same name is not.
IssuerKey = tuple[tuple[frozenset[tuple[str, str]], ...], bytes]


def issuer_key(certificate: Certificate) -> IssuerKey:
    """Return the key under which the lists of `certificate` are found. Raises Unreadable."""
    certificate.require("subject", "public key")
    return certificate.subject.attributes, certificate.key.spki


@dataclass(frozen=True, slots=True)
class RevocationList:
    """The serial numbers that one issuer revoked; `next_update` in seconds since the epoch."""

    serials: frozenset[int]
    next_update: float
    path: str


@dataclass(frozen=True, slots=True)
class RevocationStatus:
    """The result for a chain: the list that revokes one of its certificates, and the consulted list that ends first."""

    revoked_by: RevocationList | None = None
    first_to_end: RevocationList | None = None


class RevocationLists:
    """The lists of one trust store, by issuer.

    Raises `TlsSetupError` if a list cannot be read, or is not signed by one of `authorities`.
    """

    def __init__(self, files: Sequence[File], authorities: Iterable[Certificate]) -> None:
        self._lists: dict[IssuerKey, list[RevocationList]] = {}
        issuers = list(authorities)
        for file in files:
            for crl in _read(file):
                self._lists.setdefault(_find_issuer(file, crl, issuers), []).append(_list_of(file, crl))

    def status(self, chain: Sequence[Certificate]) -> RevocationStatus:
        """Look up each certificate of `chain` (leaf first) whose issuer is in the chain and has a list.

        Raises Unreadable.
        """
        if not self._lists:
            return RevocationStatus()
        revoked_by: RevocationList | None = None
        first: RevocationList | None = None
        for certificate, issuer in itertools.pairwise(chain):
            certificate.require("serial")  # a misread serial would be on no list
            # An issuer may have several lists, old and new. Each of them counts: what one revokes stays revoked.
            for crl in self._lists.get(issuer_key(issuer), ()):
                if revoked_by is None and certificate.serial in crl.serials:
                    revoked_by = crl
                if first is None or crl.next_update < first.next_update:
                    first = crl
        return RevocationStatus(revoked_by, first)


def _read(file: File) -> Iterator[Crl]:
    """Yield every list of a file. Refuse a partial list: the certificates that it leaves out would get in."""
    try:
        for crl in read_crls(file.data):
            if (extension := crl.partial) is not None:
                raise TlsSetupError(file, f"partial CRL (critical extension {extension})")
            yield crl
    except ValueError as error:
        raise TlsSetupError(file, str(error)) from None


def _list_of(file: File, crl: Crl) -> RevocationList:
    if crl.next_update is None:  # RFC 5280 section 5.1.2.5 requires it; without it a stale list could never be noticed
        raise TlsSetupError(file, "the CRL has no nextUpdate")
    try:
        return RevocationList(frozenset(crl.serials), crl.next_update.timestamp(), file.path)
    except ValueError as error:
        raise TlsSetupError(file, f"the CRL cannot be read ({error})") from None


def _find_issuer(file: File, crl: Crl, authorities: Sequence[Certificate]) -> IssuerKey:
    """Return the key of the authority that signed `crl`. Raises TlsSetupError if none of them did."""
    # Several authorities may have the name: a CA certificate and its renewal with another key.
    named = [authority for authority in authorities if crl.is_named_for(authority)]
    if not named:
        raise TlsSetupError(file, f"the CRL is issued by {crl.issuer}, which is not among the CAs here")
    for authority in named:
        if crl.is_of(authority):
            return issuer_key(authority)
    raise TlsSetupError(file, f"the CRL of {crl.issuer} is not signed by that CA's key, or not with SHA-2")
