"""One `ssl.SSLContext` for each tenant on each listener, chosen before the TLS object exists.

The usual way, to exchange the context inside `sni_callback`, is a hole: verify mode, CRL flags, versions and tickets
stay those of the listener's context. A client without a certificate gets in where the tenant requires one, and a ticket
of tenant A resumes a session under tenant B. So the ClientHello is read first (`hello.py`) and the TLS object is made
from the right context. The callback that remains only checks that OpenSSL read the same server name as we did.
"""

import ssl
from typing import cast

from proxy.config.values import Listener, TlsSettings
from proxy.policy import ClientAuthMode, VerifiedCertificate
from proxy.tls.client import client_context
from proxy.tls.errors import TlsSetupError
from proxy.tls.hello import ClientHelloMalformed, normalize_server_name
from proxy.tls.judging import CertificateJudge
from proxy.tls.memory_file import load_key_pair
from proxy.tls.profiles import PROFILES
from proxy.tls.trust import TrustStore

ALPN = "dicom"  # IANA, TLS ALPN protocol ids

#: OpenSSL keeps about 10 KiB of every TLS 1.2 session, up to 20480 of them for two hours, and Python has no call that
#: turns it off. The store belongs to the context, which is replaced after this many handshakes (5 MiB; takes 1 ms).
RENEW_AFTER = 512

_VERIFY_MODES = {
    ClientAuthMode.NONE: ssl.CERT_NONE,
    ClientAuthMode.OPTIONAL: ssl.CERT_OPTIONAL,
    ClientAuthMode.REQUIRED: ssl.CERT_REQUIRED,
}


class ServerObject(ssl.SSLObject):
    """The server's side of one connection, with the server name that `hello.py` read for it."""

    server_name_known = False
    expected_server_name: str | None = None
    sni_mismatch = False


class ServerContext:
    """The context of one `tls` block. Make the TLS object from `ssl`, then call `expect_server_name`."""

    def __init__(self, settings: TlsSettings) -> None:
        """Raises `TlsSetupError`."""
        self.settings = settings
        self.client_auth_mode = ClientAuthMode(settings.client_auth.mode)
        self.profile = PROFILES[settings.profile]
        self._trust = TrustStore(settings.client_auth)
        self._judge = CertificateJudge(self._trust, checks_strength=self.profile.checks_strength)
        self._handshakes = 0
        self.ssl = self._build()

    def _build(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            self.profile.apply(context)
        except ssl.SSLError:
            problem = f"this OpenSSL has none of the cipher suites of profile {self.profile.name}"
            raise TlsSetupError(self.settings.where, problem) from None
        if not self.settings.certificates:
            raise TlsSetupError(self.settings.where, "no certificate")
        for pair in self.settings.certificates:
            load_key_pair(context, pair)  # one RSA and one EC pair can serve side by side: OpenSSL chooses by the suite
        if self.client_auth_mode is not ClientAuthMode.NONE:
            if self._trust.anchors:
                context.load_verify_locations(cadata=self._trust.der)
            elif self.client_auth_mode is ClientAuthMode.REQUIRED:
                raise TlsSetupError(self.settings.where, "client certificates are required, but there is no CA")
            # Optional without a CA: no certificate is accepted, any certificate is refused.
        context.verify_mode = _VERIFY_MODES[self.client_auth_mode]
        # Without the flag only a self-signed certificate is an anchor; an intermediate CA or a pinned one is not.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        # No session is ever resumed: a ticket would be valid for another tenant and would outlive a reload.
        # OP_NO_TICKET of the profile does this for TLS 1.2, `num_tickets` for TLS 1.3.
        context.num_tickets = 0
        # A client that offers other protocols only goes on without one: Python answers as if there were no extension.
        context.set_alpn_protocols([ALPN])
        # The expected name belongs to a connection, and the callback below gets nothing but the TLS object.
        context.sslobject_class = ServerObject
        context.sni_callback = _check_server_name
        return context

    def expect_server_name(self, ssl_object: ssl.SSLObject, server_name: str | None) -> None:
        """Set the server name that was read (None: none) before the handshake, which fails without this call."""
        server_object = cast(ServerObject, ssl_object)
        server_object.expected_server_name = server_name
        server_object.server_name_known = True
        self._handshakes += 1
        if self._handshakes >= RENEW_AFTER:
            # Connections that exist keep the old context; it is freed with the last of them.
            try:
                self.ssl = self._build()
            except OSError:
                return  # out of descriptors or memory: keep the present one; the next handshake tries again
            self._handshakes = 0

    def server_name_mismatch(self, ssl_object: ssl.SSLObject) -> bool:
        """Return whether the handshake failed because OpenSSL read another server name than we did."""
        return cast(ServerObject, ssl_object).sni_mismatch

    def client_certificate(self, ssl_object: ssl.SSLObject, now: float) -> VerifiedCertificate | None:
        """Return the client's certificate after the handshake, judged. `now` is in seconds since the epoch."""
        return self._judge.certificate(ssl_object, now)

    def self_test(self) -> None:
        """Shake hands with ourselves in memory. Raises `TlsSetupError` where the certificates do not serve."""
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = self.ssl.wrap_bio(to_server, to_client, server_side=True)
        cast(ServerObject, server).server_name_known = True
        client = client_context(self.profile, verify=False).wrap_bio(to_client, to_server)
        try:
            # TLS 1.2 needs all five turns. In TLS 1.3 the client is done after its second, so that a missing client
            # certificate is an error of the server's.
            for side in (client, server, client, server, client):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
        except ssl.SSLError as error:
            # Our client has no certificate: this failure means that everything before it works.
            if self.client_auth_mode is ClientAuthMode.REQUIRED and _MISSING in str(error.reason):
                return
            problem = f"handshake with itself failed ({error.reason})"
            raise TlsSetupError(self.settings.certificates[0].chain, problem) from None
        if self.client_auth_mode is ClientAuthMode.REQUIRED or client.version() is None:
            raise TlsSetupError(self.settings.where, "handshake with itself went wrong")


_MISSING = "PEER_DID_NOT_RETURN_A_CERTIFICATE"


def _check_server_name(ssl_object: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int | None:
    """Refuse with unrecognized_name if OpenSSL read another name than the one that selected this context."""
    server_object = cast(ServerObject, ssl_object)
    if server_object.server_name_known and name == server_object.expected_server_name:
        return None  # the common case: the name came in its normal form
    try:
        # OpenSSL gives the bytes of the hello: compare in the form that `hello.py` brought them into.
        seen = None if name is None else normalize_server_name(name.encode())
    except ClientHelloMalformed:
        seen = ""
    if server_object.server_name_known and seen == server_object.expected_server_name:
        return None
    server_object.sni_mismatch = True
    return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME


class ListenerTls:
    """The contexts of one TLS listener: its own, and one for each tenant that has server names."""

    def __init__(self, listener: Listener) -> None:
        """Raises `TlsSetupError`."""
        if listener.tls is None:
            raise TlsSetupError(listener.where, f"listener {listener.name} has no TLS")
        self.default = ServerContext(listener.tls)
        self._tenants = {name: ServerContext(settings) for name, settings in listener.tenant_tls.items()}

    def tenant(self, name: str) -> ServerContext:
        """Return the context of a tenant that SNI selected. Raises KeyError for one that has none here."""
        return self._tenants[name]

    def contexts(self) -> list[ServerContext]:
        """Return every context, the listener's own first."""
        return [self.default, *self._tenants.values()]

    def self_test(self) -> None:
        """Shake hands once with each context. Raises `TlsSetupError`."""
        for context in self.contexts():
            context.self_test()
