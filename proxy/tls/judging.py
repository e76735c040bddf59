"""Judges the client certificate after the handshake.

OpenSSL has verified the chain up to one of its anchors. It has no setting for the rest: a pinned certificate is trusted
as itself and never as an issuer; a CRL is asked only for issuers that have one (with OpenSSL's flag, a CA without a CRL
refuses everybody); a fingerprint can be revoked; and under security level 0 nothing is weak. The judgement is returned
as `problem` of the certificate, not as a TLS alert, so that the sender gets an A-ASSOCIATE-RJ that it can show.
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

#: Judged leaf certificates that are remembered per context; a hospital has some hundred devices.
MAX_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class _Judged:
    """The judgement of a chain, which holds as long as its trust store, and the CRLs that it rests on."""

    chain: tuple[str, ...]  # fingerprints, leaf first
    certificate: VerifiedCertificate
    crl: RevocationStatus
    until: float = math.inf  # when the first CA above the leaf expires


class CertificateJudge:
    """Reads and judges the client certificates of one context."""

    def __init__(self, trust: TrustStore, *, checks_strength: bool) -> None:
        """Without `checks_strength` OpenSSL's security level has refused weak certificates."""
        self._trust = trust
        self._checks_strength = checks_strength
        self._remembered: dict[str, _Judged] = {}

    def certificate(self, ssl_object: SSLObject, now: float) -> VerifiedCertificate | None:
        """Return the certificate of a completed handshake, with `problem` set if it must be refused all the same."""
        leaf = ssl_object.getpeercert(True)  # the leaf alone, and in a resumed session there is no more than that
        if leaf is None:
            return None
        return self.judge(verified_chain(ssl_object) or [leaf], now, resumed=bool(ssl_object.session_reused))

    def judge(self, chain: Sequence[bytes], now: float, *, resumed: bool = False) -> VerifiedCertificate:
        """Return the facts of a verified chain (DER, leaf first); of a resumed session that is the leaf alone."""
        fingerprints = tuple(map(fingerprint, chain))
        judged = self._remembered.get(fingerprints[0])
        if judged is None or not (resumed or (judged.chain == fingerprints and now <= judged.until)):
            judged = self._judge_chain(chain, fingerprints, now)
            if resumed:
                forgotten = "session resumed, but its certificate is no longer remembered"
                return _refuse(judged.certificate, Reason.CLIENT_CERTIFICATE_UNTRUSTED, forgotten)
            self._remember(judged)
        return self._judge_time(judged, now)

    def _remember(self, judged: _Judged) -> None:
        self._remembered.pop(judged.chain[0], None)  # put in again at the end: the oldest are dropped first
        while len(self._remembered) >= MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[judged.chain[0]] = judged

    def _judge_time(self, judged: _Judged, now: float) -> VerifiedCertificate:
        certificate = judged.certificate
        if certificate.problem is not None:
            return certificate
        if now > certificate.not_after:  # OpenSSL does not look again when a session is resumed
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
        # OpenSSL may have ended the chain at a pinned certificate above the leaf: fewer certificates count then.
        anchored = self._anchored(fingerprints)
        try:
            certificates = read_verified(chain[: max(1, anchored)])
            weak = chain_weakness(certificates) if self._checks_strength else None
            if anchored > 1:
                certificates = self._trust.with_higher_authorities(certificates, now)
            # Two chains: the CAs of the first vouch for the leaf, those of the second can only revoke it.
            revoking = self._trust.with_revoking_authorities(certificates)
            crl = self._trust.revocation.status(revoking)
            certificate = for_policy(certificates[0])
        except Unreadable as error:
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
        """Return how a certificate of the chain was revoked; empty if none was."""
        if listed := self._trust.revoked.intersection(one.sha256 for one in chain):
            return f"{min(listed)} is listed under `revoked`"
        return f"revoked in the CRL {crl.revoked_by.path}" if crl.revoked_by is not None else ""

    def _anchored(self, fingerprints: tuple[str, ...]) -> int:
        """Return how many certificates of the chain count: 1 if the leaf is pinned, 0 if nothing vouches for it."""
        count = len(fingerprints)
        for depth, issuer in enumerate(fingerprints[1:], 1):
            if issuer in self._trust.pinned:
                count = depth  # pinned as itself, not as an issuer: nothing from here on vouches for the leaf
                break
        if self._trust.authorities.keys() & set(fingerprints[1:count]):
            return count
        return 1 if fingerprints[0] in self._trust.pinned else 0


def _refuse(certificate: VerifiedCertificate, reason: Reason, detail: str) -> VerifiedCertificate:
    return replace(certificate, problem=reason, problem_detail=detail)
