"""One `ssl.SSLContext` for each tenant on each listener, chosen before the TLS object exists.

Servers usually exchange the context inside `sni_callback`. That is a hole here: verify mode, CRL flags, versions and
tickets stay those of the listener's context. A client without a certificate gets in where the tenant requires one, and
a ticket of tenant A resumes a session under tenant B. Therefore the gateway reads the ClientHello first (`hello.py`)
and makes the TLS object from the tenant's context. The callback that remains only checks that OpenSSL read the same
server name.
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

#: OpenSSL stores about 10 KiB for every TLS 1.2 session, up to 20480 of them for two hours, and Python has no call that
#: turns the store off. The store belongs to the context, so the context is replaced after this many handshakes: at most
#: 5 MiB are stored, and a new context takes 1 ms.
RENEW_AFTER = 512

_VERIFY_MODES = {
    ClientAuthMode.NONE: ssl.CERT_NONE,
    ClientAuthMode.OPTIONAL: ssl.CERT_OPTIONAL,
    ClientAuthMode.REQUIRED: ssl.CERT_REQUIRED,
}


class ServerObject(ssl.SSLObject):
    """The server side of one connection, with the server name that `hello.py` read for it."""

    server_name_known = False  # False fails the handshake, so a caller that forgets `expect_server_name` is noticed
    expected_server_name: str | None = None  # None: the ClientHello has no server name
    sni_mismatch = False  # set by the callback, which can only return an alert


class ServerContext:
    """The context of one `tls` block. Make the TLS object from `ssl`, then call `expect_server_name`.

    Construction builds the OpenSSL context. Raises `TlsSetupError`.
    """

    def __init__(self, settings: TlsSettings) -> None:
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
            load_key_pair(context, pair)  # OpenSSL keeps one pair for each kind of key, and chooses by the suite
        if self.client_auth_mode is not ClientAuthMode.NONE:
            if self._trust.anchors:
                context.load_verify_locations(cadata=self._trust.der)
            elif self.client_auth_mode is ClientAuthMode.REQUIRED:
                raise TlsSetupError(self.settings.where, "client certificates are required, but there is no CA")
            # Optional without a CA: no certificate is accepted, any certificate is refused.
        context.verify_mode = _VERIFY_MODES[self.client_auth_mode]
        # Without the flag only a self-signed certificate is an anchor, not an intermediate CA or a pinned certificate.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        # No tickets: a ticket would be valid for another tenant and would outlive a reload. OP_NO_TICKET of the profile
        # is for TLS 1.2, `num_tickets` for TLS 1.3. A TLS 1.2 session id still resumes in this very context, until it
        # is renewed; `judging.py` deals with the certificate of such a session.
        context.num_tickets = 0
        # Without a common protocol Python sends no ALPN extension instead of an alert, so the handshake goes on.
        context.set_alpn_protocols([ALPN])
        # The callback gets the TLS object and nothing else, so the expected name of the connection is kept in there.
        context.sslobject_class = ServerObject
        context.sni_callback = _check_server_name
        return context

    def expect_server_name(self, ssl_object: ssl.SSLObject, server_name: str | None) -> None:
        """Set the server name that `hello.py` read, None without one. A handshake without this call fails."""
        server_object = cast(ServerObject, ssl_object)
        server_object.expected_server_name = server_name
        server_object.server_name_known = True
        self._handshakes += 1
        if self._handshakes >= RENEW_AFTER:
            # Open connections keep the old context, and OpenSSL frees it with the last of them.
            try:
                self.ssl = self._build()
            except OSError:
                return  # no descriptor or memory: the present context goes on, and the next handshake tries again
            self._handshakes = 0

    def server_name_mismatch(self, ssl_object: ssl.SSLObject) -> bool:
        """Return whether the handshake failed because OpenSSL read another server name than `hello.py`."""
        return cast(ServerObject, ssl_object).sni_mismatch

    def client_certificate(self, ssl_object: ssl.SSLObject, now: float) -> VerifiedCertificate | None:
        """Return the client's certificate after the handshake, judged. `now` is in seconds since the epoch."""
        return self._judge.certificate(ssl_object, now)

    def self_test(self) -> None:
        """Shake hands with a client of our own in memory. Raises `TlsSetupError` if the handshake fails.

        A start, a reload and `check` call this: a certificate whose key no suite of the profile can use loads without
        an error, and only a handshake shows the fault.
        """
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = self.ssl.wrap_bio(to_server, to_client, server_side=True)
        cast(ServerObject, server).server_name_known = True
        client = client_context(self.profile, verify=False).wrap_bio(to_client, to_server)
        try:
            # TLS 1.2 needs all five turns. In TLS 1.3 the client completes in its second turn, before the server has
            # seen that the client certificate is missing: then the server raises, in its second turn.
            for side in (client, server, client, server, client):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
        except ssl.SSLError as error:
            # Our client has no certificate, and the server checks for one last. Everything before it has worked.
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
        # OpenSSL passes the name as the client wrote it: upper case or a trailing dot are no mismatch.
        seen = None if name is None else normalize_server_name(name.encode())
    except ClientHelloMalformed:
        seen = ""  # equals no name: `hello.py` never returns an empty one
    if server_object.server_name_known and seen == server_object.expected_server_name:
        return None
    server_object.sni_mismatch = True
    return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME


class ListenerTls:
    """The contexts of one TLS listener: its own, and one for each tenant that has server names.

    Raises `TlsSetupError`, also for a plaintext listener.
    """

    def __init__(self, listener: Listener) -> None:
        if listener.tls is None:
            raise TlsSetupError(listener.where, f"listener {listener.name} has no TLS")
        self.default = ServerContext(listener.tls)
        self._tenants = {name: ServerContext(settings) for name, settings in listener.tenant_tls.items()}

    def tenant(self, name: str) -> ServerContext:
        """Return the context of the tenant that SNI selected. Raises KeyError for a tenant without server names."""
        return self._tenants[name]

    def contexts(self) -> list[ServerContext]:
        """Return every context, the listener's own first."""
        return [self.default, *self._tenants.values()]

    def self_test(self) -> None:
        """Shake hands once with each context. Raises `TlsSetupError`."""
        for context in self.contexts():
            context.self_test()
