"""The result of a TLS handshake that we began: version, cipher, ALPN, and the chain that the server sent."""

import sys
from dataclasses import dataclass
from ssl import SSLObject
from typing import Any, cast

from proxy.x509.certificate import Certificate, read

_DER = 2  # _ssl.ENCODING_DER


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """`chain` is as the server sent it, leaf first, verified or not."""

    version: str
    cipher: str
    alpn: str | None
    chain: tuple[Certificate, ...]


def tls_facts(ssl_object: SSLObject) -> TlsFacts:
    """Return the facts of a handshake that has succeeded."""
    cipher = ssl_object.cipher()
    return TlsFacts(
        version=ssl_object.version() or "",
        cipher=cipher[0] if cipher else "",
        alpn=ssl_object.selected_alpn_protocol(),
        chain=tuple(map(read, _sent_chain(ssl_object))),
    )


def _sent_chain(ssl_object: SSLObject) -> list[bytes]:
    if sys.version_info >= (3, 13):
        return ssl_object.get_unverified_chain()
    # Python 3.11 and 3.12 have the function one layer below its public name.
    chain = cast(Any, ssl_object)._sslobj.get_unverified_chain()
    return [certificate.public_bytes(_DER) for certificate in chain or ()]
