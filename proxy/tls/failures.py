"""Turns OpenSSL's error of a failed handshake into a reason (docs/refusals.md) and a sentence for the log."""

import re
import ssl

from proxy.policy import Reason
from proxy.tls.hello import ClientHello, describe_version
from proxy.tls.profiles import Profile
from proxy.tls.suites import describe_suites, suite_code

# X509_V_ERR_* of openssl/x509_vfy.h; Python has no names for them. A code that is not listed means "untrusted".
_VERIFY_REASONS = {
    9: Reason.CLIENT_CERTIFICATE_NOT_YET_VALID,
    10: Reason.CLIENT_CERTIFICATE_EXPIRED,
    26: Reason.CLIENT_CERTIFICATE_WRONG_USAGE,
    66: Reason.CLIENT_CERTIFICATE_WEAK,  # EE_KEY_TOO_SMALL
    67: Reason.CLIENT_CERTIFICATE_WEAK,  # CA_KEY_TOO_SMALL
    68: Reason.CLIENT_CERTIFICATE_WEAK,  # CA_MD_TOO_WEAK
}
_ISSUER_UNKNOWN = "its issuer is not among the CAs of `client_auth.ca`, or the client leaves out an intermediate"
_VERIFY_HINTS = {
    9: "check the clocks of the gateway and of the CA",
    18: "to trust it, name it under `cert.file` of its peer",  # DEPTH_ZERO_SELF_SIGNED_CERT
    19: "the root it sends is not among the CAs of `client_auth.ca`",  # SELF_SIGNED_CERT_IN_CHAIN
    20: _ISSUER_UNKNOWN,  # UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    21: _ISSUER_UNKNOWN,  # UNABLE_TO_VERIFY_LEAF_SIGNATURE
    26: "its extended key usage is without clientAuth, or its key usage without digitalSignature",  # INVALID_PURPOSE
    79: "it was issued by a certificate that is not a CA",  # INVALID_CA
}

# By `SSLError.reason`: failures that the offer of the client and the profile explain together.
_VERSION_FAILURES = frozenset({"UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW", "INAPPROPRIATE_FALLBACK"})
_CIPHER_FAILURES = frozenset(
    {
        "NO_SHARED_CIPHER",
        "NO_SUITABLE_KEY_SHARE",
        "NO_SHARED_SIGNATURE_ALGORITHMS",
        "NO_SUITABLE_SIGNATURE_ALGORITHM",
    }
)

# OpenSSL names an alert of the peer after the version that introduced it, with or without the word ALERT.
_ALERT = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?(.+)")
_ALERT_HINTS = {
    "UNKNOWN_CA": "it does not know the CA of our certificate",
    "BAD_CERTIFICATE": "it does not accept our certificate",
    "CERTIFICATE_UNKNOWN": "it does not accept our certificate, mostly because it does not know its CA",
    "CERTIFICATE_EXPIRED": "our certificate has expired by its clock",
    "UNSUPPORTED_CERTIFICATE": "it does not accept certificates of this kind",
    "PROTOCOL_VERSION": "it does not accept the TLS version",
    "HANDSHAKE_FAILURE": "it does not accept what was negotiated",
    "USER_CANCELLED": "the handshake was broken off there",
}


def explain_handshake_failure(
    error: ssl.SSLError, hello: ClientHello | None, profile: Profile, *, sni_mismatch: bool = False
) -> tuple[Reason, str]:
    """Return the reason and a sentence of our names, numbers and OpenSSL's words. It contains no text of the peer."""
    # The mismatch first: the callback can only fail the handshake, and OpenSSL's error does not say why it did.
    if sni_mismatch:
        return Reason.SNI_MISMATCH, "OpenSSL read another server name in the ClientHello"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_certificate(error)
    if isinstance(error, ssl.SSLZeroReturnError):  # has no `reason`
        return Reason.TLS_PEER_ALERT, "the client sent close_notify during the handshake"
    failure = error.reason or ""
    words = failure.replace("_", " ").lower()
    if failure == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return Reason.CLIENT_CERTIFICATE_MISSING, "the client sent no certificate"
    if failure == "WRONG_CURVE":
        return Reason.CLIENT_CERTIFICATE_WEAK, "the key of the client certificate is on a curve that is not allowed"
    if failure in _VERSION_FAILURES:
        return Reason.TLS_VERSION, _explain_version(failure, hello, profile)
    if failure in _CIPHER_FAILURES:
        return Reason.TLS_NO_SHARED_CIPHER, _explain_cipher(failure, hello, profile)
    if alert := _ALERT.fullmatch(failure):
        name = alert[1]
        hint = _ALERT_HINTS.get(name)
        sentence = f"the client sent the alert {name.lower()}"
        return Reason.TLS_PEER_ALERT, f"{sentence}: {hint}" if hint else sentence
    return Reason.TLS_FAILED, words or "unknown TLS error"


def _explain_certificate(error: ssl.SSLCertVerificationError) -> tuple[Reason, str]:
    reason = _VERIFY_REASONS.get(error.verify_code, Reason.CLIENT_CERTIFICATE_UNTRUSTED)
    hint = _VERIFY_HINTS.get(error.verify_code)
    return reason, f"{error.verify_message}: {hint}" if hint else error.verify_message


def _explain_version(failure: str, hello: ClientHello | None, profile: Profile) -> str:
    if failure == "INAPPROPRIATE_FALLBACK":
        return "client fell back to an older version although it has a newer one (RFC 7507)"
    if hello is None or not hello.versions:
        return "client offers no TLS version of the profile"
    newest, oldest = max(hello.versions), min(hello.versions)
    if newest < profile.minimum:
        needed = describe_version(profile.minimum).removeprefix("TLS ")
        return f"client offers {describe_version(newest)} only; profile {profile.name} needs {needed}"
    if profile.maximum > 0 and oldest > profile.maximum:
        ends = describe_version(profile.maximum).removeprefix("TLS ")
        return f"client offers {describe_version(oldest)} only; profile {profile.name} ends at {ends}"
    return f"client offers {', '.join(map(describe_version, hello.versions))}; profile {profile.name} has none of them"


def _explain_cipher(failure: str, hello: ClientHello | None, profile: Profile) -> str:
    if hello is None:
        return "client and gateway have no cipher suite in common"
    groups, signatures = _codes(hello.groups), _codes(hello.signature_algorithms)
    if failure == "NO_SUITABLE_KEY_SHARE":
        return f"client offers only the groups {groups}; it needs P-256 (0017) or X25519 (001D)"
    if failure in ("NO_SHARED_SIGNATURE_ALGORITHMS", "NO_SUITABLE_SIGNATURE_ALGORITHM"):
        return f"client offers only the signature algorithms {signatures}, none of them for our certificates"
    allowed = [suite_code(name) for name in (*profile.tls13_suites, *profile.cipher_suites)]
    if set(hello.cipher_suites).intersection(allowed):
        offer = f"groups {groups}, signature algorithms {signatures}"
        return (
            f"client offers suites of profile {profile.name}, but none that goes with our certificates and its {offer}"
        )
    offered, needed = describe_suites(hello.cipher_suites), describe_suites(allowed, most=len(allowed))
    return f"client offers only {offered}; profile {profile.name} needs one of {needed}"


def _codes(values: tuple[int, ...]) -> str:
    listed = [f"{value:04X}" for value in values[:16]]  # the peer chooses how many: keep the log line short
    return ", ".join(listed) or "(none)"


def tls_failure_in_words(error: Exception) -> str:
    """Return the failure of an established TLS connection in OpenSSL's words, without its brackets and file names."""
    if isinstance(error, ssl.SSLWantReadError):
        return "it sent half a TLS handshake message and waits for an answer"
    if isinstance(error, ssl.SSLError):
        return "TLS broke: " + (error.reason or "unknown failure").replace("_", " ").lower()
    return str(error)
