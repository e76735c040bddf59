"""Tests OpenSSL itself: openssl.cnf may leave it without a cipher, and a sandbox without random numbers."""

import ssl

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

_REMEDY = (
    "check openssl.cnf ($OPENSSL_CONF), whose FIPS mode needs a provider that is installed and active, "
    "and that getrandom(2) is allowed"
)


def openssl_problem() -> str | None:
    """Return why OpenSSL does not work, with what to check, or None if it works."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    except ssl.SSLError as error:
        return f"{ssl.OPENSSL_VERSION} cannot make a TLS context ({error.strerror}); {_REMEDY}"
    # `cryptography` brings an OpenSSL of its own, which reads the same openssl.cnf and may fail by itself.
    try:
        hashes.Hash(hashes.SHA256()).finalize()
    except (InternalError, UnsupportedAlgorithm):
        return f"the OpenSSL of the Python package cryptography has no SHA-256; {_REMEDY}"
    return None
