"""The certificate chains of a completed handshake, DER, leaf first.

Both functions are public since Python 3.13. In 3.11 and 3.12 they exist on the private `_sslobj` alone, and return
certificate objects there instead of bytes.
"""

import sys
from ssl import SSLObject
from typing import Any, cast

_DER = 2  # _ssl.ENCODING_DER


def verified_chain(ssl_object: SSLObject) -> list[bytes]:
    """Return the chain that OpenSSL verified, anchor last. Empty without a certificate and in a resumed session."""
    if sys.version_info >= (3, 13):
        return ssl_object.get_verified_chain()
    chain = cast(Any, ssl_object)._sslobj.get_verified_chain()
    return [certificate.public_bytes(_DER) for certificate in chain or ()]


def sent_chain(ssl_object: SSLObject) -> list[bytes]:
    """Return the chain as the peer sent it. It may contain certificates that OpenSSL has not verified."""
    if sys.version_info >= (3, 13):
        return ssl_object.get_unverified_chain()
    chain = cast(Any, ssl_object)._sslobj.get_unverified_chain()
    return [certificate.public_bytes(_DER) for certificate in chain or ()]
