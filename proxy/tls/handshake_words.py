"""Explains a failed handshake in which the gateway, or `dicomgate echo`, is the client."""

import ssl

# By `SSLError.reason`. OpenSSL names an alert of the peer after the version that introduced it.
_ALERTS = {
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not trust the CA of our certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the peer requires a client certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer rejects our certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "our certificate may not be used as a client's",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "our certificate is revoked",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our certificate has expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the peer does not accept our certificate",
    "TLSV1_ALERT_ACCESS_DENIED": "the peer denies access to our certificate",
    "TLSV1_UNRECOGNIZED_NAME": "the peer knows no such server name (SNI)",
    "TLSV1_ALERT_UNRECOGNIZED_NAME": "the peer knows no such server name (SNI)",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the peer has none of the TLS versions of the profile",
    "UNSUPPORTED_PROTOCOL": "the peer has none of the TLS versions of the profile",
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": "the peer wants stronger cipher suites than the profile has",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": (
        "the peer refuses: no common cipher suite, or it demands a server name (SNI) or a client certificate"
    ),
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "the peer wants another ALPN protocol",
    "DH_KEY_TOO_SMALL": "the peer's DH parameters are too small",
    "EE_KEY_TOO_SMALL": "the key of a certificate is too small",
}
# OpenSSL's errors for an answer whose first bytes are no TLS record.
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
)

_ISSUER_UNKNOWN = "its issuer is not among the CAs that are trusted here, or the server leaves out an intermediate"
# X509_V_ERR_* of openssl/x509_vfy.h -> advice.
_CERTIFICATE_HINTS = {
    9: "check the clocks on both sides",  # CERT_NOT_YET_VALID
    10: "renew it on the server",  # CERT_HAS_EXPIRED
    18: "to trust this certificate, name it as the CA",  # DEPTH_ZERO_SELF_SIGNED_CERT
    19: "the root it sends is not among the CAs that are trusted here",  # SELF_SIGNED_CERT_IN_CHAIN
    20: _ISSUER_UNKNOWN,  # UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    21: _ISSUER_UNKNOWN,  # UNABLE_TO_VERIFY_LEAF_SIGNATURE
    26: "its extended key usage is without serverAuth",  # INVALID_PURPOSE
}


def explain_client_failure(error: Exception) -> str:
    """Return one line for an exception of the handshake or of the first read. It contains no text of the peer.

    In TLS 1.3 the server judges our certificate after our handshake is complete, so its alert comes with a read.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = _CERTIFICATE_HINTS.get(error.verify_code)
        said = error.verify_message.removesuffix(".")
        return f"the server's certificate is not accepted: {said}{f' ({hint})' if hint else ''}"
    # Python 3.11.2 raises SSLZeroReturnError where later versions raise SSLEOFError.
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError):
        return "the peer closed the connection in the middle of the handshake"
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    if reason in _NOT_TLS:
        return "the peer does not speak TLS here"
    if reason in _ALERTS:
        return f"{_ALERTS[reason]} ({reason})"
    if isinstance(error, ssl.SSLError):
        return (reason or "unknown TLS error").replace("_", " ").lower()
    return str(error)
