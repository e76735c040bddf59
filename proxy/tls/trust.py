"""The trust of one `client_auth`: its CAs, its pinned certificates, its revocation lists."""

from proxy.config.values import ClientAuthSettings, File
from proxy.tls.errors import TlsSetupError
from proxy.tls.paths import Chain, stands_above
from proxy.tls.revocation import RevocationLists
from proxy.x509.certificate import Certificate
from proxy.x509.files import read_certificates


class TrustStore:
    """`anchors`: all certificates at which OpenSSL may end a chain, by fingerprint.

    `pinned` are those trusted as themselves alone. A certificate that is also configured as a CA counts as a CA.
    """

    def __init__(self, settings: ClientAuthSettings) -> None:
        """Raises `TlsSetupError`."""
        self.authorities: dict[str, Certificate] = {}
        for file in settings.ca.values():
            self.authorities |= _load(file)
        pinned: dict[str, Certificate] = {}
        for file in settings.pinned:
            pinned |= _load(file)
        self.anchors = self.authorities | pinned
        self.pinned = frozenset(pinned) - frozenset(self.authorities)
        self._issuers = dict(self.authorities)
        for file in settings.crl_issuers:
            self._issuers |= _load(file)
        self.revocation = RevocationLists(settings.crl, self._issuers.values())
        self.revoked = settings.revoked
        self.refuses_stale_crl = settings.crl_expired != "accept"

    @property
    def der(self) -> bytes:
        """All anchors in a row, as `SSLContext.load_verify_locations(cadata=...)` takes them."""
        return b"".join(certificate.der for certificate in self.anchors.values())

    def with_higher_authorities(self, chain: Chain, now: float) -> Chain:
        """Return `chain`, which ends at one of the authorities, with the authorities above it.

        OpenSSL stops at the first anchor, but the root above may be the CA that a tenant names, or revoke the anchor.
        """
        for authority in self.authorities.values():
            if authority not in chain and stands_above(authority, chain, now):
                return self.with_higher_authorities((*chain, authority), now)
        return chain

    def with_revoking_authorities(self, chain: Chain) -> Chain:
        """Return `chain` with the CAs that may revoke its end. One that has expired or limits names still revokes."""
        for authority in self._issuers.values():
            if authority not in chain and authority.issued(chain[-1]):
                return self.with_revoking_authorities((*chain, authority))
        return chain


def _load(file: File) -> dict[str, Certificate]:
    """Return the certificates of a PEM file by fingerprint. Raises `TlsSetupError`."""
    try:
        return {certificate.sha256: certificate for certificate in read_certificates(file.data)}
    except ValueError as error:
        raise TlsSetupError(file, str(error)) from None
