"""The trust store of one `client_auth`: its CAs, its pinned certificates, its revocation lists."""

from proxy.config.values import ClientAuthSettings, File
from proxy.tls.errors import TlsSetupError
from proxy.tls.paths import Chain, stands_above
from proxy.tls.revocation import RevocationLists
from proxy.x509.certificate import Certificate
from proxy.x509.files import read_certificates


class TrustStore:
    """The certificates that one `client_auth` trusts. Raises `TlsSetupError` if a file cannot be used.

    `authorities`: the CAs by fingerprint. `pinned`: the fingerprints of certificates that are trusted as themselves and
    not as issuers. `anchors`: both together, the certificates at which OpenSSL may end a chain.
    """

    def __init__(self, settings: ClientAuthSettings) -> None:
        self.authorities: dict[str, Certificate] = {}
        for file in settings.ca.values():
            self.authorities |= _load(file)
        pinned: dict[str, Certificate] = {}
        for file in settings.pinned:
            pinned |= _load(file)
        self.anchors = self.authorities | pinned
        # A certificate that is configured in both ways is a CA: pinning adds trust and takes none away.
        self.pinned = frozenset(pinned) - frozenset(self.authorities)
        # CAs of tenants on this listener: their CRLs apply here, but they let nothing in.
        self._issuers = dict(self.authorities)
        for file in settings.crl_issuers:
            self._issuers |= _load(file)
        self.revocation = RevocationLists(settings.crl, self._issuers.values())
        self.revoked = settings.revoked
        self.refuses_stale_crl = settings.crl_expired != "accept"

    @property
    def der(self) -> bytes:
        """All anchors, concatenated as `SSLContext.load_verify_locations(cadata=...)` takes them."""
        return b"".join(certificate.der for certificate in self.anchors.values())

    def with_higher_authorities(self, chain: Chain, now: float) -> Chain:
        """Return `chain`, which ends at one of the authorities, followed by the authorities above it.

        OpenSSL stops at the first anchor. The root above may be the CA that a tenant names, or may revoke the anchor.
        """
        # `authority not in chain` ends the recursion, also for CAs that have signed one another.
        for authority in self.authorities.values():
            if authority not in chain and stands_above(authority, chain, now):
                return self.with_higher_authorities((*chain, authority), now)
        return chain

    def with_revoking_authorities(self, chain: Chain) -> Chain:
        """Return `chain` followed by the CAs that may revoke its certificates.

        A CA that has expired, or that has name constraints, vouches for nothing and can still revoke. The key decides
        and not the name: OpenSSL takes a name in another string type, or in other letters, for the same one.
        """
        for authority in self._issuers.values():
            if authority not in chain and authority.signed(chain[-1]):
                return self.with_revoking_authorities((*chain, authority))
        return chain


def _load(file: File) -> dict[str, Certificate]:
    """Return the certificates of a PEM file by fingerprint. Raises `TlsSetupError`."""
    try:
        return {certificate.sha256: certificate for certificate in read_certificates(file.data)}
    except ValueError as error:
        raise TlsSetupError(file, str(error)) from None
