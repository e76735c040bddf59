"""The result of a TLS handshake that we began: version, cipher, ALPN, and the chain that the server sent."""

from dataclasses import dataclass
from ssl import SSLObject

from proxy.tls.chains import sent_chain
from proxy.x509.certificate import Certificate, read


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
        chain=tuple(map(read, sent_chain(ssl_object))),
    )
