"""What the gateway would make of a client certificate, from its file alone: for `explain --cert`.

In a handshake OpenSSL builds the chain; it cannot be asked without the private key. This follows its rules as far as
hospitals meet them: issuers, signatures, validity, basicConstraints, path length, key usage. Name constraints, and
extensions that are critical and unknown, show in a handshake only.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from proxy.config.values import TlsSettings
from proxy.policy import Certificate, ClientAuthMode, Reason
from proxy.tls.certificates import UNREADABLE
from proxy.tls.judging import CertificateJudge
from proxy.tls.profiles import PROFILES
from proxy.tls.strength import LEVEL_2_EC_BITS, MINIMUM_EC_BITS, is_weak_hash, weakness
from proxy.tls.trust import TrustStore

MAX_CHAIN = 10

Refusal = tuple[Reason, str]
Chain = tuple[x509.Certificate, ...]


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
            if issuer not in chain and _issued(issuer, chain[-1]):
                yield from _chains((*chain, issuer), anchors, sent)
    if chain[-1] in anchors:
        yield chain


def _issued(issuer: x509.Certificate, subject: x509.Certificate) -> bool:
    if issuer.subject != subject.issuer:
        return False
    try:
        subject.verify_directly_issued_by(issuer)
    except InvalidSignature:
        return False
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # `cryptography` verifies no SHA-1. To name that is better than "unknown CA"; `weakness` refuses the chain.
        return is_weak_hash(subject)
    return True


def check_chain(chain: Chain, now: float) -> Refusal | None:
    """What is wrong with a chain of valid signatures, leaf first (RFC 5280 section 6, as OpenSSL reads it)."""
    for depth, certificate in enumerate(chain):
        name = certificate.subject.rfc4514_string()
        if now < certificate.not_valid_before_utc.timestamp():
            return Reason.CLIENT_CERTIFICATE_NOT_YET_VALID, f"{name}: valid from {certificate.not_valid_before_utc}"
        if now > certificate.not_valid_after_utc.timestamp():
            return Reason.CLIENT_CERTIFICATE_EXPIRED, f"{name}: expired on {certificate.not_valid_after_utc}"
        usages = _extension(certificate, x509.ExtendedKeyUsage)
        if usages is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
            return Reason.CLIENT_CERTIFICATE_WRONG_USAGE, f"{name}: extended key usage without clientAuth"
        key_usage = _extension(certificate, x509.KeyUsage)
        if depth == 0:
            if key_usage is not None and not (key_usage.digital_signature or key_usage.key_agreement):
                return Reason.CLIENT_CERTIFICATE_WRONG_USAGE, f"{name}: key usage without digitalSignature"
            continue
        constraints = _extension(certificate, x509.BasicConstraints)
        if constraints is None or not constraints.ca or (key_usage is not None and not key_usage.key_cert_sign):
            return Reason.CLIENT_CERTIFICATE_UNTRUSTED, f"{name} is no CA"
        below = sum(one.subject != one.issuer for one in chain[1:depth])
        if constraints.path_length is not None and below > constraints.path_length:
            return Reason.CLIENT_CERTIFICATE_UNTRUSTED, f"{name}: path length {constraints.path_length} exceeded"
    return None


_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
