"""Shows a certificate to a TLS context as a client would, without the certificate's key.

A TLS 1.2 server verifies the chain when it reads the client's Certificate message, before CertificateVerify proves that
the client has the key (RFC 5246 sections 7.4.6 and 7.4.8). So a real client opens the handshake, this module writes the
Certificate message by hand, and the same OpenSSL with the same settings as on the live path judges the chain:

    client (Python's ssl)            server (the context under test)
    ClientHello             ----->
                            <-----   ServerHello, Certificate, ..., CertificateRequest, ServerHelloDone
    Certificate (by hand)   ----->   verifies the chain: an alert, or it waits for the next message

TLS 1.3 would not do: there the client's Certificate message is encrypted, with keys that only a whole TLS client has.
"""

import ssl
import time
from collections.abc import Sequence

from proxy.policy import Reason, VerifiedCertificate
from proxy.tls.certificates import for_policy
from proxy.tls.chains import verified_chain
from proxy.tls.contexts import ServerContext
from proxy.tls.failures import explain_handshake_failure
from proxy.tls.judging import CertificateJudge
from proxy.tls.trust import TrustStore
from proxy.x509 import certificate as x509
from proxy.x509.files import read_leaf_first

_ALERT, _HANDSHAKE, _TLS_1_2, _CERTIFICATE = b"\x15", b"\x16", b"\x03\x03", b"\x0b"
_CURVES = ("secp256r1", "secp384r1", "secp521r1")  # TLS has ECDSA signatures for these (RFC 8446 section 4.2.3)
_LONGEST_FRAGMENT = 16 * 1024  # RFC 5246 section 6.2.1


class Unaccepted(Exception):
    """The handshake ends here. `alert`: the alert that OpenSSL sent; None if it depends on the TLS version."""

    def __init__(self, reason: Reason, detail: str, alert: int | None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.alert = alert


def read_chain(data: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a file, PEM (leaf first) or DER. Raises ValueError for an unreadable leaf."""
    chain = read_leaf_first(data)
    for_policy(chain[0])
    return chain


def present(context: ServerContext, chain: Sequence[x509.Certificate]) -> VerifiedCertificate | None:
    """Return the judged certificate of a client that shows `chain`; None for an empty one. Raises `Unaccepted`.

    `context` must not serve afterwards: its cipher suites are changed.
    """
    server, to_server, to_client = _await_certificate(context)
    message = _certificate_message([certificate.der for certificate in chain])
    # A handshake message may span records, but a record holds at most 2**14 bytes.
    for start in range(0, len(message), _LONGEST_FRAGMENT):
        fragment = message[start : start + _LONGEST_FRAGMENT]
        to_server.write(_HANDSHAKE + _TLS_1_2 + len(fragment).to_bytes(2, "big") + fragment)
    try:
        server.do_handshake()
    except ssl.SSLWantReadError:
        pass  # The chain is verified. The server waits for ClientKeyExchange, which never comes.
    except ssl.SSLError as error:
        reason, detail = explain_handshake_failure(error, None, context.profile)
        # For a missing certificate the alert is handshake_failure in TLS 1.2 and certificate_required in TLS 1.3, and
        # the real sender may speak either.
        alert = None if reason is Reason.CLIENT_CERTIFICATE_MISSING else _alert(to_client.read())
        raise Unaccepted(reason, detail, alert) from None
    if not chain:
        return None
    key = chain[0].key
    if key.kind == "EC" and key.curve not in _CURVES:
        # The live path finds this when the client signs the handshake, a step that is never reached here.
        words = f"the key of the client certificate is on curve {key.curve}, which is not allowed"
        raise Unaccepted(Reason.CLIENT_CERTIFICATE_WEAK, words, None)
    judge = CertificateJudge(TrustStore(context.settings.client_auth), checks_strength=context.profile.checks_strength)
    return judge.judge(verified_chain(server), time.time())


def _await_certificate(context: ServerContext) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """Return a server that waits for the client's Certificate message (in clear text, TLS 1.2), and its two BIOs.

    All cipher suites are allowed: the profile may leave none in TLS 1.2 for our own certificate, and the question is
    the client's. The security level, by which OpenSSL judges certificates, stays that of the profile.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    context.ssl.set_ciphers(f"DEFAULT:@SECLEVEL={context.profile.security_level}")
    server = context.ssl.wrap_bio(to_server, to_client, server_side=True)
    context.expect_server_name(server, None)  # without this call the handshake fails; the offer below has no SNI
    # The client must accept whatever the server shows: only the server's judgement counts.
    offer = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    offer.check_hostname, offer.verify_mode = False, ssl.CERT_NONE
    offer.maximum_version = ssl.TLSVersion.TLSv1_2
    offer.set_ciphers("DEFAULT:@SECLEVEL=0")
    client = offer.wrap_bio(to_client, to_server)
    for side in (client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    to_client.read()  # The server's flight is not needed: from here on `to_client` holds the alert, if there is one.
    return server, to_server, to_client


def _alert(records: bytes) -> int | None:
    """Return the description of the alert record (RFC 5246 section 7.2), or None if it is another record."""
    # In clear text, because no ChangeCipherSpec was sent: header (5 bytes), level, description.
    return records[-1] if records[:1] == _ALERT else None


def _certificate_message(chain: Sequence[bytes]) -> bytes:
    """Encode a Certificate message (RFC 5246 section 7.4.2)."""
    entries = b"".join(len(der).to_bytes(3, "big") + der for der in chain)
    body = len(entries).to_bytes(3, "big") + entries
    return _CERTIFICATE + len(body).to_bytes(3, "big") + body
