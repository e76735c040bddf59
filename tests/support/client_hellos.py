"""ClientHellos by hand (RFC 8446 4.1.2), well-formed or not, for what no TLS library sends."""

import struct
from collections.abc import Iterable


def vector8(data: bytes) -> bytes:
    """A vector with one byte of length."""
    return bytes((len(data),)) + data


def vector16(data: bytes) -> bytes:
    """A vector with two bytes of length."""
    return struct.pack(">H", len(data)) + data


def uint16s(values: Iterable[int]) -> bytes:
    """Values of two bytes each."""
    return b"".join(struct.pack(">H", value) for value in values)


def server_name(*names: bytes, name_type: int = 0) -> tuple[int, bytes]:
    """A server_name extension (RFC 6066 section 3)."""
    return 0, vector16(b"".join(bytes((name_type,)) + vector16(name) for name in names))


def supported_versions(*versions: int) -> tuple[int, bytes]:
    """A supported_versions extension (RFC 8446 4.2.1)."""
    return 43, vector8(uint16s(versions))


def alpn(*protocols: bytes) -> tuple[int, bytes]:
    """An ALPN extension (RFC 7301)."""
    return 16, vector16(b"".join(map(vector8, protocols)))


def body(
    extensions: Iterable[tuple[int, bytes]] = (),
    *,
    legacy_version: int = 0x0303,
    cipher_suites: Iterable[int] = (0xC02F, 0xC030),
    session_id: bytes = b"",
    compression: bytes = b"\0",
) -> bytes:
    """The body of a ClientHello; without extensions the extension block is left out."""
    block = b"".join(struct.pack(">H", kind) + vector16(data) for kind, data in extensions)
    return (
        struct.pack(">H", legacy_version)
        + bytes(32)
        + vector8(session_id)
        + vector16(uint16s(cipher_suites))
        + vector8(compression)
        + (vector16(block) if block else b"")
    )


def handshake(hello_body: bytes, message_type: int = 1) -> bytes:
    """The handshake message around a body."""
    return bytes((message_type,)) + len(hello_body).to_bytes(3, "big") + hello_body


def records(message: bytes, size: int = 16_384, content_type: int = 22) -> bytes:
    """The message in records of `size` bytes."""
    chunks = [message[start : start + size] for start in range(0, len(message), size)]
    return b"".join(bytes((content_type, 3, 1)) + vector16(chunk) for chunk in chunks)


def wire(extensions: Iterable[tuple[int, bytes]] = (), *, legacy_version: int = 0x0303) -> bytes:
    """A whole ClientHello in one record."""
    return records(handshake(body(extensions, legacy_version=legacy_version)))
