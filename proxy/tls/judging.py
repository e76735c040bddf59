"""Judges the client certificate after the handshake.

OpenSSL has verified the chain up to one of its anchors. It has no setting for four further rules:
- a pinned certificate is trusted as itself and never as an issuer;
- a CRL is consulted only for issuers that have one (with OpenSSL's flag, every certificate of a CA without a CRL is
  refused);
- a certificate can be revoked by its fingerprint;
- keys and hashes must be strong, also at security level 0, where OpenSSL accepts all of them.

The judgement is the `problem` of the returned certificate, not a TLS alert, so that the sender gets an A-ASSOCIATE-RJ
that it can show.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ssl import SSLObject

from proxy.policy import Reason, VerifiedCertificate
from proxy.tls.certificates import for_policy, read_verified
from proxy.tls.chains import verified_chain
from proxy.tls.paths import Chain
from proxy.tls.revocation import RevocationStatus
from proxy.tls.trust import TrustStore
from proxy.x509.certificate import Unreadable, fingerprint
from proxy.x509.strength import chain_weakness

#: Judgements that a context remembers, one for each leaf certificate. A hospital has some hundred devices; more than
#: this only costs a new judgement.
MAX_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class _Judged:
    """The judgement of a chain. The trust store is fixed, so only time can change it: `until`, and the end of a CRL."""

    chain: tuple[str, ...]  # fingerprints, leaf first
    certificate: VerifiedCertificate
    crl: RevocationStatus
    until: float = math.inf  # the end of the CA above the leaf that expires first, in seconds since the epoch


class CertificateJudge:
    """Reads and judges the client certificates of one context.

    `checks_strength` False: OpenSSL's security level has already refused weak certificates.
    """

    def __init__(self, trust: TrustStore, *, checks_strength: bool) -> None:
        self._trust = trust
        self._checks_strength = checks_strength
        self._remembered: dict[str, _Judged] = {}

    def certificate(self, ssl_object: SSLObject, now: float) -> VerifiedCertificate | None:
        """Return the certificate of a completed handshake, None without one. `problem` is set if it must be refused."""
        # A resumed TLS 1.2 session has the leaf and no chain: OpenSSL does not verify again.
        leaf = ssl_object.getpeercert(True)
        if leaf is None:
            return None
        return self.judge(verified_chain(ssl_object) or [leaf], now, resumed=bool(ssl_object.session_reused))

    def judge(self, chain: Sequence[bytes], now: float, *, resumed: bool = False) -> VerifiedCertificate:
        """Return the facts of a verified chain (DER, leaf first), which is the leaf alone in a resumed session."""
        fingerprints = tuple(map(fingerprint, chain))
        judged = self._remembered.get(fingerprints[0])
        # A device may send another chain for the same leaf (a new intermediate), and a CA above it may have expired:
        # judge again. A resumed session has no chain to judge, so it keeps the judgement of its full handshake.
        if judged is None or not (resumed or (judged.chain == fingerprints and now <= judged.until)):
            judged = self._judge_chain(chain, fingerprints, now)
            if resumed:
                # The leaf alone proves no issuer. Fail closed; the next full handshake is judged as usual.
                forgotten = "session resumed, but its certificate is no longer remembered"
                return _refuse(judged.certificate, Reason.CLIENT_CERTIFICATE_UNTRUSTED, forgotten)
            self._remember(judged)
        return self._judge_time(judged, now)

    def _remember(self, judged: _Judged) -> None:
        self._remembered.pop(judged.chain[0], None)  # a dict keeps the order of insertion: move the leaf to its end
        while len(self._remembered) >= MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[judged.chain[0]] = judged

    def _judge_time(self, judged: _Judged, now: float) -> VerifiedCertificate:
        """Return the certificate as judged, or refused because something in its chain has expired since then."""
        certificate = judged.certificate
        if certificate.problem is not None:
            return certificate
        if now > certificate.not_after:  # OpenSSL checks times in full handshakes only, not when a session is resumed
            return _refuse(certificate, Reason.CLIENT_CERTIFICATE_EXPIRED, "expired since the session began")
        if now > judged.until:
            detail = "a CA above it expired since the session began"
            return _refuse(certificate, Reason.CLIENT_CERTIFICATE_EXPIRED, detail)
        crl = judged.crl.first_to_end
        if crl is not None and now > crl.next_update and self._trust.refuses_stale_crl:
            detail = f"the CRL {crl.path} is past its nextUpdate"
            return _refuse(certificate, Reason.CLIENT_CERTIFICATE_CRL_STALE, detail)
        return certificate

    def _judge_chain(self, chain: Sequence[bytes], fingerprints: tuple[str, ...], now: float) -> _Judged:
        # OpenSSL may have ended the chain at a pinned certificate above the leaf. The chain below it still counts if it
        # contains a CA; 0 leaves the leaf alone, as a certificate that nothing vouches for.
        anchored = self._anchored(fingerprints)
        try:
            certificates = read_verified(chain[: max(1, anchored)])
            # Before higher CAs are added: the end of the verified chain is the anchor, whose signature does not matter.
            weak = chain_weakness(certificates) if self._checks_strength else None
            if anchored > 1:  # a pinned leaf has no issuers: no tenant may match it by a CA
                certificates = self._trust.with_higher_authorities(certificates, now)
            # Two chains: the CAs of `certificates` vouch for the leaf, further CAs in `revoking` can only revoke it.
            revoking = self._trust.with_revoking_authorities(certificates)
            crl = self._trust.revocation.status(revoking)
            certificate = for_policy(certificates[0])
        except Unreadable as error:  # fail closed (invariant 7, docs/architecture.md)
            unreadable = VerifiedCertificate(fingerprints[0], "")
            refused = _refuse(unreadable, Reason.CLIENT_CERTIFICATE_UNTRUSTED, f"cannot be read ({error})")
            return _Judged(fingerprints, refused, RevocationStatus())
        certificate = replace(certificate, issuers=tuple(one.sha256 for one in certificates[1:]))
        if not anchored:
            detail = "issued by a pinned certificate, which may not issue, or by no CA of these settings"
            certificate = _refuse(certificate, Reason.CLIENT_CERTIFICATE_WRONG_CA, detail)
        elif revoked := self._revoked(revoking, crl):
            certificate = _refuse(certificate, Reason.CLIENT_CERTIFICATE_REVOKED, revoked)
        elif weak is not None:
            certificate = _refuse(certificate, Reason.CLIENT_CERTIFICATE_WEAK, weak)
        until = min((one.not_after.timestamp() for one in certificates[1:]), default=math.inf)
        return _Judged(fingerprints, certificate, crl, until)

    def _revoked(self, chain: Chain, crl: RevocationStatus) -> str:
        """Return the list or setting that revokes a certificate of the chain, as a phrase; "" if none is revoked."""
        if listed := self._trust.revoked.intersection(one.sha256 for one in chain):
            return f"{min(listed)} is listed under `revoked`"
        return f"revoked in the CRL {crl.revoked_by.path}" if crl.revoked_by is not None else ""

    def _anchored(self, fingerprints: tuple[str, ...]) -> int:
        """Return the length of the part of the chain that counts: 1 for a pinned leaf, 0 if nothing vouches for it."""
        count = len(fingerprints)
        for depth, issuer in enumerate(fingerprints[1:], 1):
            if issuer in self._trust.pinned:
                count = depth  # a pinned certificate is no issuer: from here on nothing vouches for the leaf
                break
        # A CA first: a leaf that is pinned and issued by a trusted CA keeps its issuers, for `cert.ca` of its peer.
        if self._trust.authorities.keys() & set(fingerprints[1:count]):
            return count
        return 1 if fingerprints[0] in self._trust.pinned else 0


def _refuse(certificate: VerifiedCertificate, reason: Reason, detail: str) -> VerifiedCertificate:
    return replace(certificate, problem=reason, problem_detail=detail)
