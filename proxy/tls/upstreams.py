"""TLS to the upstreams: one context for all upstreams with the same settings, one endpoint for each connection.

A client context stores no sessions, so it can live as long as its generation. The server's chain is always verified.
"""

import os
import ssl
from collections.abc import Iterable

from proxy.config.values import Server, Upstream, UpstreamTls
from proxy.tls.certificates import read_verified
from proxy.tls.chains import verified_chain
from proxy.tls.client import client_context
from proxy.tls.endpoint import TlsEndpoint
from proxy.tls.errors import TlsSetupError
from proxy.tls.memory_file import load_key_pair
from proxy.tls.profiles import PROFILES
from proxy.x509.certificate import Unreadable
from proxy.x509.strength import chain_weakness


class UpstreamContext:
    """The context of one upstream's `tls` block."""

    def __init__(self, settings: UpstreamTls, context: ssl.SSLContext) -> None:
        self.settings = settings
        self._checks_strength = PROFILES[settings.profile].checks_strength
        self.context = context

    def endpoint(self, server: Server) -> TlsEndpoint:
        """Return the endpoint for one connection to `server`. Its name is sent as SNI unless it is an address."""
        return TlsEndpoint(self.context, server_side=False, server_hostname=self.settings.name_of(server))

    def weakness(self, ssl_object: ssl.SSLObject) -> str | None:
        """Return a weakness of the server's chain that OpenSSL's security level has let pass, or None."""
        if not self._checks_strength:
            return None
        try:
            return chain_weakness(read_verified(verified_chain(ssl_object)))
        except Unreadable as error:
            return f"cannot be read ({error})"


def upstream_contexts(upstreams: Iterable[Upstream]) -> dict[str, UpstreamContext]:
    """Return the context of each upstream that has TLS, by name. Raises `TlsSetupError`, and OSError without memory."""
    built: dict[object, ssl.SSLContext] = {}
    contexts = {}
    for upstream in upstreams:
        tls = upstream.tls
        if tls is None:
            continue
        pair = tls.certificate
        own = None if pair is None else (pair.chain.data, pair.key.data)
        key = (tls.profile, None if tls.ca is None else tls.ca.data, own, tls.verify_name)
        if key not in built:  # share: loading the system's CAs, some hundred, takes milliseconds and memory each time
            built[key] = _build(tls)
        contexts[upstream.name] = UpstreamContext(tls, built[key])
    return contexts


def _build(tls: UpstreamTls) -> ssl.SSLContext:
    if tls.ca is None and not _system_has_authorities():
        raise TlsSetupError(tls.where, "this machine has no CA certificates of its own: install them, or set `ca`")
    try:
        context = client_context(
            PROFILES[tls.profile], ca="system" if tls.ca is None else tls.ca.data, verify_name=tls.verify_name
        )
    except ssl.SSLError:
        problem = f"this OpenSSL has none of the cipher suites of profile {tls.profile}"
        raise TlsSetupError(tls.where, problem) from None
    except TlsSetupError as error:
        # `client_context` knows the bytes of the CA file, but not its name.
        raise TlsSetupError(tls.ca or tls.where, error.problem) from None
    if tls.certificate is not None:
        load_key_pair(context, tls.certificate)
    return context


def _system_has_authorities() -> bool:
    # A container image may have none. OpenSSL loads that without an error, and every server would then be untrusted.
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile) or bool(paths.capath and os.listdir(paths.capath))
