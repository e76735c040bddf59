"""What the gateway would make of a client certificate, from its file alone: for `explain --cert`.

In a handshake OpenSSL builds the chain; it cannot be asked without the private key. This follows its rules as far as
`paths.py` knows them: name constraints, and extensions that are critical and unknown, show in a handshake only.
"""

from collections.abc import Iterator, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from proxy.config.values import TlsSettings
from proxy.policy import Certificate, ClientAuthMode, Reason
from proxy.tls.certificates import UNREADABLE
from proxy.tls.judging import CertificateJudge
from proxy.tls.paths import Chain, Refusal, check_chain, issued
from proxy.tls.profiles import PROFILES
from proxy.tls.strength import LEVEL_2_EC_BITS, MINIMUM_EC_BITS, weakness
from proxy.tls.trust import TrustStore

MAX_CHAIN = 10


def certificate_from_pem(
    data: bytes, settings: TlsSettings, now: float
) -> tuple[Certificate | None, Reason | None, str]:
    """The certificate as policy would see it, or the reason for which the handshake would fail, and a sentence.

    `data` is what the client would send, PEM, leaf first; `now` in seconds since the epoch. Where no client
    certificate is asked for there is neither. Raises `TlsSetupError`, and ValueError where `data` is no certificate.
    """
    if settings.client_auth.mode == ClientAuthMode.NONE:
        return None, None, "no client certificate is asked for here"
    trust = TrustStore(settings.client_auth)
    profile = PROFILES[settings.profile]
    leaf, *sent = x509.load_pem_x509_certificates(data)
    try:
        chain, refusal = _verify(leaf, sent, trust, now)
        if refusal is None and profile.security_level >= 2:
            weak = weakness(chain, LEVEL_2_EC_BITS)
            refusal = None if weak is None else (Reason.CLIENT_CERTIFICATE_WEAK, weak)
    except UNREADABLE as error:
        refusal = Reason.CLIENT_CERTIFICATE_UNTRUSTED, f"cannot be read ({error})"
    if refusal is not None:
        return None, *refusal
    judge = CertificateJudge(trust, MINIMUM_EC_BITS if profile.checks_strength else None)
    certificate = judge.judge([one.public_bytes(Encoding.DER) for one in chain], now)
    return certificate, certificate.problem, certificate.problem_detail


def _verify(
    leaf: x509.Certificate, sent: Sequence[x509.Certificate], trust: TrustStore, now: float
) -> tuple[Chain, Refusal | None]:
    """The chain that verifies; else the first one that there is, and what is wrong with it."""
    first: tuple[Chain, Refusal] | None = None
    for chain in _chains((leaf,), tuple(trust.anchors.values()), sent):
        refusal = check_chain(chain, now)
        if refusal is None:
            return chain, None
        first = first or (chain, refusal)
    if first is not None:
        return first
    untrusted = f"no CA of these settings issued it; its issuer is {leaf.issuer.rfc4514_string()}"
    if leaf.issuer == leaf.subject:
        untrusted = "self-signed, and not named under `cert.file` of a peer"
    return (leaf,), (Reason.CLIENT_CERTIFICATE_UNTRUSTED, untrusted)


def _chains(chain: Chain, anchors: Sequence[x509.Certificate], sent: Sequence[x509.Certificate]) -> Iterator[Chain]:
    """Every chain from `chain` up to an anchor, long ways first, and through anchors first, as OpenSSL does."""
    if len(chain) < MAX_CHAIN:
        for issuer in (*anchors, *sent):
            if issuer not in chain and issued(issuer, chain[-1]):
                yield from _chains((*chain, issuer), anchors, sent)
    if chain[-1] in anchors:
        yield chain
