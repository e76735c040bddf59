"""TLS contexts of the client's side: for `dicomgate echo`, for upstreams, and for the gateway's check of itself."""

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
    """Return a context that offers what `profile` allows. `ca`, `certificate`, `key`: PEM. Raises `TlsSetupError`.

    `verify` checks the server's chain, `verify_name` its name as well; then a `server_hostname` must be given.
    `alpn` is empty or `dicom`: a DCMTK server aborts on any other offer.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    profile.apply(context)
    context.check_hostname = verify and verify_name
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    if ca == "system":
        context.set_default_verify_paths()
    elif ca is not None:
        # A server certificate or an intermediate CA that the configuration names is an anchor as well as a root is.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            context.load_verify_locations(cadata=ca.decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError):
            raise TlsSetupError("CA", "holds no PEM certificate that can be read") from None
    if certificate is not None:
        chain = File("certificate", certificate)
        load_key_pair(context, KeyPair(chain, chain if key is None else File("key", key)))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context
