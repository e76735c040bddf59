"""ClientHellos that offer what the test chooses and are otherwise complete, and the gateway's first answer."""

from collections.abc import Iterable

from tests.bad_inputs.case import Case
from tests.bad_inputs.hostile import Peer, alert_in
from tests.support import client_hellos
from tests.support.client_hellos import uint16s, vector16

X25519, P256, P384, P521, X448 = 0x001D, 0x0017, 0x0018, 0x0019, 0x001E
_SIGNATURES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501)  # ECDSA and RSA with SHA-2
_X25519_SHARE = bytes(range(9, 41))  # any 32 bytes are a public key


def groups(*codes: int) -> tuple[int, bytes]:
    """A supported_groups extension (RFC 8446 4.2.7)."""
    return 10, vector16(uint16s(codes))


def key_share(group: int = X25519, share: bytes = _X25519_SHARE) -> tuple[int, bytes]:
    """A key_share extension with one entry (RFC 8446 4.2.8)."""
    return 51, vector16(uint16s([group]) + vector16(share))


SIGNATURES = (13, vector16(uint16s(_SIGNATURES)))


def offer_12(
    *suites: int,
    name: bytes | None = b"open.example.org",
    group_codes: Iterable[int] = (P256,),
    more: Iterable[tuple[int, bytes]] = (),
) -> bytes:
    """A TLS 1.2 ClientHello."""
    named = [client_hellos.server_name(name)] if name is not None else []
    extensions = [*named, groups(*group_codes), SIGNATURES, *more]
    return client_hellos.handshake(client_hellos.body(extensions, cipher_suites=suites or (0xC02F, 0xC02B)))


def offer_13(
    *more: tuple[int, bytes],
    name: bytes = b"open.example.org",
    share: tuple[int, bytes] | None = None,
    group_codes: Iterable[int] = (X25519, P256),
) -> bytes:
    """A TLS 1.3 ClientHello."""
    extensions = [
        client_hellos.server_name(name),
        groups(*group_codes),
        SIGNATURES,
        client_hellos.supported_versions(0x0304),
        share or key_share(),
        *more,
    ]
    return client_hellos.handshake(client_hellos.body(extensions, cipher_suites=(0x1301, 0x1302)))


def answer(case: Case, hello: bytes, reason: str, listener: str = "tls") -> str:
    """Send a ClientHello (a handshake message) and leave; return the alert, or "" for a ServerHello.

    `reason` is expected in the record; for a ServerHello it is always that the peer has gone.
    """
    peer = case.peer(listener)
    peer.send(client_hellos.records(hello))
    return _answered(case, peer, reason)


def _answered(case: Case, peer: Peer, reason: str) -> str:
    assert peer.receive(), f"closed without an answer: {peer.end}"
    if peer.plain[0] == 22 and peer.plain[5] in (2,):
        peer.close()
        case.refused(peer, "requestor_gone")
        return ""
    case.refused(peer, reason)
    return alert_in(peer.rest())
