"""TLS contexts for the client side: of `dicomgate echo`, of connections to upstreams, and of the self-test."""

import ssl
from typing import Literal

from proxy.config.values import File, KeyPair
from proxy.tls.errors import TlsSetupError
from proxy.tls.memory_file import load_key_pair
from proxy.tls.profiles import DEFAULT_PROFILE, Profile


def client_context(
    profile: Profile = DEFAULT_PROFILE,
    *,
    ca: bytes | Literal["system"] | None = None,
    certificate: bytes | None = None,
    key: bytes | None = None,
    verify: bool = True,
    verify_name: bool = True,
    alpn: tuple[str, ...] = (),
) -> ssl.SSLContext:
    """Return a context that offers the versions and suites of `profile`. Raises `TlsSetupError`.

    `ca`, `certificate` and `key` are PEM. `verify` checks the server's chain. `verify_name` checks its name as well and
    needs a `server_hostname`. `alpn` is empty or `dicom`: a DCMTK server aborts on any other offer.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    profile.apply(context)
    # In this order: Python refuses CERT_NONE while check_hostname is set, and PROTOCOL_TLS_CLIENT sets it.
    context.check_hostname = verify and verify_name
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    if ca == "system":
        context.set_default_verify_paths()
    elif ca is not None:
        # Without this flag only a root ends a chain. The configuration may also name an intermediate CA, or the
        # certificate of the server itself.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            # As text, not DER, because the file may hold comments outside its PEM blocks, in any encoding.
            context.load_verify_locations(cadata=ca.decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError):
            raise TlsSetupError("CA", "holds no PEM certificate that can be read") from None
    if certificate is not None:
        chain = File("certificate", certificate)
        load_key_pair(context, KeyPair(chain, chain if key is None else File("key", key)))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context
