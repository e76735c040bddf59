"""Certificate revocation lists (RFC 5280 section 5), read by `cryptography` alone: a list must be well-formed.

There is no tolerant reader for lists. Skipping an odd entry would let in the certificate that the entry revokes.
"""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from proxy.x509.certificate import Certificate
from proxy.x509.files import blocks
from proxy.x509.second_opinion import REFUSALS, in_one_line


@dataclass(frozen=True, slots=True)
class Crl:
    """One list. `issuer`: the name of the issuer as RFC 4514 text."""

    parsed: x509.CertificateRevocationList = field(repr=False)
    issuer: str
    last_update: datetime.datetime
    next_update: datetime.datetime | None
    # SHA-256 of a CA -> result of `is_of`. Verifying hashes the whole list, and every tenant that inherits it asks.
    _verdicts: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)

    @property
    def pem(self) -> bytes:
        return self.parsed.public_bytes(Encoding.PEM)

    @property
    def number(self) -> int | None:
        """The CRL number (RFC 5280 section 5.2.3). Raises ValueError if the extensions are broken."""
        try:
            return self.parsed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        except x509.ExtensionNotFound:
            return None

    @property
    def serials(self) -> tuple[int, ...]:
        """The serials of the revoked certificates, in list order. Raises ValueError if an entry is broken."""
        return tuple(entry.serial_number for entry in self.parsed)

    @property
    def partial(self) -> str | None:
        """The OID of a critical extension by which the list covers some certificates only, or None.

        Raises ValueError if the extensions are broken.
        """
        # The extensions that narrow a list are critical (delta, scope: RFC 5280 sections 5.2.4 and 5.2.5). An unknown
        # critical one may narrow it as well. A distribution point that names no limit covers everything.
        for extension in self.parsed.extensions:
            scope = extension.value
            whole = isinstance(scope, x509.IssuingDistributionPoint) and not (
                scope.indirect_crl
                or scope.only_some_reasons
                or scope.only_contains_ca_certs
                or scope.only_contains_user_certs
                or scope.only_contains_attribute_certs
            )
            if extension.critical and not whole:
                return str(extension.oid.dotted_string)
        return None

    def is_named_for(self, ca: Certificate) -> bool:
        """Return whether the list names the subject of `ca` as its issuer."""
        return self.parsed.issuer == ca.parsed.subject

    def is_of(self, ca: Certificate) -> bool:
        """Return whether `ca` issued the list, by name and signature."""
        if ca.sha256 not in self._verdicts:
            self._verdicts[ca.sha256] = self.is_named_for(ca) and self._is_signed_by(ca)
        return self._verdicts[ca.sha256]

    def _is_signed_by(self, ca: Certificate) -> bool:
        try:
            # A key that cannot sign (X25519) raises TypeError.
            return self.parsed.is_signature_valid(ca.parsed.public_key())  # type: ignore[arg-type]
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return False


def read_crl(der: bytes) -> Crl:
    """Read one list. Raises ValueError with the fault."""
    try:
        crl = x509.load_der_x509_crl(der)
        return Crl(crl, crl.issuer.rfc4514_string(), crl.last_update_utc, crl.next_update_utc)
    except REFUSALS as error:
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> ValueError:
    return ValueError(f"holds no CRL that can be read ({in_one_line(error)})")


def read_crls(data: bytes) -> tuple[Crl, ...]:
    """Read all lists of a PEM file, or the one list of a DER file. Raises ValueError with the fault."""
    return tuple(read_crl(der) for der in _lists(data))


def _lists(data: bytes) -> Iterator[bytes]:
    try:
        found = [der for label, der in blocks(data) if label == "X509 CRL"]
    except ValueError as error:
        raise _unreadable(error) from None
    if not found and data[:1] != b"\x30":
        raise ValueError("holds no CRL in PEM or DER")
    yield from found or [data]
