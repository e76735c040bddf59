"""Whether OpenSSL works here at all: its own settings may have left it without a cipher, the system without entropy."""

import ssl

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

_REMEDY = (
    "look at openssl.cnf ($OPENSSL_CONF), as in FIPS mode its provider must be installed and active, "
    "and whether getrandom(2) is allowed"
)


def openssl_problem() -> str | None:
    """What keeps it from working, and where to look; None where it works."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    except ssl.SSLError as error:
        return f"{ssl.OPENSSL_VERSION} cannot make a TLS context ({error.strerror}); {_REMEDY}"
    try:
        hashes.Hash(hashes.SHA256()).finalize()
    except (InternalError, UnsupportedAlgorithm):
        return f"the OpenSSL of the Python package cryptography has no SHA-256; {_REMEDY}"
    return None
