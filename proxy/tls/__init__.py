"""TLS: the ClientHello, the DICOM profiles, one context per tenant, the sans-IO endpoint, client certificates."""

from proxy.tls.client import client_context
from proxy.tls.contexts import ListenerTls, ServerContext
from proxy.tls.endpoint import TlsEndpoint
from proxy.tls.errors import TlsSetupError
from proxy.tls.hello import ClientHello, ClientHelloMalformed, ClientHelloReader, NotTls, describe_version, encode_alert
from proxy.tls.profiles import DEFAULT_PROFILE, PROFILES, Profile, missing_suites

__all__ = [
    "DEFAULT_PROFILE",
    "PROFILES",
    "ClientHello",
    "ClientHelloMalformed",
    "ClientHelloReader",
    "ListenerTls",
    "NotTls",
    "Profile",
    "ServerContext",
    "TlsEndpoint",
    "TlsSetupError",
    "client_context",
    "describe_version",
    "encode_alert",
    "missing_suites",
]
