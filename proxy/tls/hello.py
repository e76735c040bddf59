"""Reads the ClientHello before a TLS object exists (RFC 8446 4.1.2, RFC 5246 7.4.1.2), because it selects the tenant.

The server name decides whose certificate rules apply, so a hello in which two readers could see different names is
refused. OpenSSL gets the same bytes afterwards and must read the same name (`contexts.py`).
"""

import struct
from dataclasses import dataclass
from functools import lru_cache

from proxy.pdu.first_bytes import SIGNATURE, name_protocol

#: Bytes of the handshake message. Real ones stay below 2 KiB, below 4 KiB with post-quantum key shares.
MAX_HANDSHAKE = 16 * 1024
#: RFC 8446 5.1: a plaintext record holds 2^14 bytes at most.
MAX_RECORD = 16 * 1024
#: A hello may come in records of one byte (row 31, docs/robustness.md). MAX_HANDSHAKE does not count the header of 5
#: bytes that each of them has, so their number has a limit of its own.
MAX_RECORDS = 2048
MAX_SERVER_NAME = 253  # a DNS name in text (RFC 1035 2.3.4: 255 octets on the wire)
MAX_LABEL = 63  # RFC 1035 2.3.4

DECODE_ERROR = 50  # RFC 8446 6.2

_HANDSHAKE = 22  # record content types, RFC 8446 5.1
_OTHER_RECORDS = {20: "change_cipher_spec", 21: "alert", 23: "application_data", 24: "heartbeat"}
_CLIENT_HELLO = 1

_SERVER_NAME, _GROUPS, _SIGNATURE_ALGORITHMS, _ALPN, _SUPPORTED_VERSIONS = 0, 10, 13, 16, 43

_EXTENSION_HEADER = struct.Struct(">HH")  # type, length
#: RFC 8701 section 2: both bytes are equal, the low nibble is 0xA.
_GREASE = frozenset(range(0x0A0A, 0x10000, 0x1010))

_VERSIONS = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}

# DNS host names, and the underscore that sites use all the same. No control character gets into a log this way.
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


class NotTls(Exception):
    """The first bytes belong to another protocol, which `what` names (`plain DICOM`, `HTTP`, ...)."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class ClientHelloMalformed(Exception):
    """The client speaks TLS, but its ClientHello is malformed or ambiguous. `description` is the alert to send."""

    description = DECODE_ERROR

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ClientHello:
    """The offer of a client, in the client's order and without GREASE values (RFC 8701)."""

    server_name: str | None  # lower case, without a trailing dot
    versions: tuple[int, ...]
    cipher_suites: tuple[int, ...]
    alpn: tuple[bytes, ...] = ()
    signature_algorithms: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()


class ClientHelloReader:
    """Collects bytes until the ClientHello is complete. `raw` has every byte received, for OpenSSL to read again."""

    def __init__(self) -> None:
        self.raw = bytearray()
        self._next_record = 0  # offset into raw
        self._records = 0
        self._handshake = bytearray()

    def feed(self, data: bytes | memoryview) -> ClientHello | None:
        """Take the next bytes; return the ClientHello once it is complete. Do not call it again after that.

        Raises `NotTls` or `ClientHelloMalformed`, for a wrong header as soon as it is there.
        """
        self.raw += data
        while (fragment := self._take_record()) is not None:
            self._handshake += fragment
            if len(self._handshake) < 4:  # a record may end inside the header of the handshake message
                continue
            message_type, length = self._handshake[0], int.from_bytes(self._handshake[1:4], "big")
            if message_type != _CLIENT_HELLO:
                raise ClientHelloMalformed(f"handshake message {message_type} where a ClientHello belongs")
            if length > MAX_HANDSHAKE:  # by what the client declares, before it can make us collect that much
                raise ClientHelloMalformed(f"ClientHello of {length} bytes, more than {MAX_HANDSHAKE}")
            if len(self._handshake) >= 4 + length:
                return parse_client_hello(bytes(self._handshake[4 : 4 + length]))
        return None

    def _take_record(self) -> bytearray | None:
        """Return the fragment of the next record, or None until the record is complete."""
        start = self._next_record
        header = self.raw[start : start + 5]
        # Judge the first byte at once: a peer of another protocol may wait for an answer and never send five.
        if start == 0 and header:
            _check_first_bytes(self.raw)
        elif header and header[0] != _HANDSHAKE:
            raise ClientHelloMalformed(f"record of type {header[0]} inside the ClientHello")
        if len(header) < 5:
            return None
        length = int.from_bytes(header[3:5], "big")
        if header[1] != 3:
            raise ClientHelloMalformed(f"record version {header[1]}.{header[2]}")
        if not 0 < length <= MAX_RECORD:  # RFC 8446 5.1 forbids empty fragments of this type
            raise ClientHelloMalformed(f"record of {length} bytes")
        end = start + 5 + length
        if len(self.raw) < end:
            return None
        self._records += 1
        if self._records > MAX_RECORDS:
            raise ClientHelloMalformed(f"ClientHello in more than {MAX_RECORDS} records")
        self._next_record = end
        return self.raw[start + 5 : end]


def _check_first_bytes(data: bytearray) -> None:
    """Raise NotTls or ClientHelloMalformed unless the bytes begin like a TLS record of type handshake."""
    like_a_record = len(data) < 2 or data[1] == 3  # the major version, the same from SSL 3.0 to TLS 1.3
    if like_a_record and data[0] in _OTHER_RECORDS:
        raise ClientHelloMalformed(f"first record is {_OTHER_RECORDS[data[0]]}, not handshake")
    if not like_a_record or data[0] != _HANDSHAKE:
        raise NotTls(name_protocol(bytes(data[:SIGNATURE])))


def parse_client_hello(body: bytes) -> ClientHello:
    """Parse the body of a ClientHello (RFC 8446 4.1.2). Raises `ClientHelloMalformed`."""
    reader = _Reader(body)
    legacy_version = reader.uint16("legacy_version")
    reader.take(32, "random")
    if len(reader.vector8("session id")) > 32:
        raise ClientHelloMalformed("session id longer than 32 bytes")
    cipher_suites = _uint16s(reader.vector16("cipher suites"), "cipher suites")
    if not reader.vector8("compression methods"):
        raise ClientHelloMalformed("no compression method")
    extensions = _parse_extensions(reader)
    if not reader.at_end():
        raise ClientHelloMalformed("bytes after the extensions")

    # A client of TLS 1.3 lists its versions in an extension, and `legacy_version` is then 1.2 whatever it offers.
    versions: tuple[int, ...] = (legacy_version,)
    if (extension := extensions.get(_SUPPORTED_VERSIONS)) is not None:
        versions = _uint16s(_only_vector8(extension, "supported versions"), "supported versions")
    signatures = extensions.get(_SIGNATURE_ALGORITHMS)
    groups = extensions.get(_GROUPS)
    return ClientHello(
        _parse_server_name(extensions[_SERVER_NAME]) if _SERVER_NAME in extensions else None,
        versions,
        cipher_suites,
        _parse_alpn(extensions[_ALPN]) if _ALPN in extensions else (),
        () if signatures is None else _uint16s(_only_vector16(signatures, "signature algorithms"), "algorithms"),
        () if groups is None else _uint16s(_only_vector16(groups, "groups"), "groups"),
    )


def _parse_extensions(reader: "_Reader") -> dict[int, bytes]:
    """Return the extensions by type (RFC 8446 4.2). Refuse a repeated type: another reader could take the other one.

    The loop works on offsets, not on a `_Reader`: a hello has some twenty extensions, and every connection begins here.
    """
    if reader.at_end():  # RFC 5246 7.4.1.2: a client without extensions may leave the block out
        return {}
    block = reader.vector16("extensions")
    extensions: dict[int, bytes] = {}
    start, size = 0, len(block)
    while start < size:
        if start + 4 > size:
            raise ClientHelloMalformed("extension type: cut off")
        extension_type, length = _EXTENSION_HEADER.unpack_from(block, start)
        start += 4
        end = start + length
        if end > size:
            raise ClientHelloMalformed("extension: cut off")
        if extension_type in extensions:
            raise ClientHelloMalformed(f"extension {extension_type} twice")
        extensions[extension_type] = block[start:end]
        start = end
    return extensions


def _parse_server_name(extension: bytes) -> str:
    """Return the host name of a server_name extension (RFC 6066 section 3), which must contain exactly one name."""
    names = _Reader(_only_vector16(extension, "server name list"))
    name_type = names.uint8("server name type")
    if name_type != 0:
        raise ClientHelloMalformed(f"server name of type {name_type}")
    name = names.vector16("server name")
    if not names.at_end():
        raise ClientHelloMalformed("two server names")
    return normalize_server_name(name)


@lru_cache(maxsize=1024)  # at most 1024 names of MAX_SERVER_NAME bytes: a call that raises is not cached
def normalize_server_name(name: bytes) -> str:
    """Return a server name in lower case without a trailing dot, as the configuration has it.

    Raises `ClientHelloMalformed` if it is no DNS name.
    """
    try:
        text = name.decode("ascii").lower()
    except UnicodeDecodeError:
        raise ClientHelloMalformed("server name is not ASCII") from None
    text = text.removesuffix(".")
    labels = text.split(".")
    if len(text) > MAX_SERVER_NAME or any(not 0 < len(label) <= MAX_LABEL for label in labels):
        raise ClientHelloMalformed(f"server name of {len(name)} bytes is not a DNS name")
    if not _NAME_CHARACTERS.issuperset(text):
        raise ClientHelloMalformed("server name holds a character that no DNS name has")
    if labels[-1].isdigit():  # no top-level domain is a number; an IPv6 address fails at its colons
        raise ClientHelloMalformed("server name is an address literal (RFC 6066 section 3)")
    return text


def _parse_alpn(extension: bytes) -> tuple[bytes, ...]:
    """Return the protocol names of an ALPN extension (RFC 7301)."""
    names = _Reader(_only_vector16(extension, "ALPN list"))
    protocols: list[bytes] = []
    while not names.at_end():
        protocol = names.vector8("ALPN name")
        if not protocol:
            raise ClientHelloMalformed("empty ALPN name")
        protocols.append(protocol)
    return tuple(protocols)


def _only_vector8(extension: bytes, what: str) -> bytes:
    reader = _Reader(extension)
    vector = reader.vector8(what)
    if not reader.at_end():
        raise ClientHelloMalformed(f"bytes after the {what}")
    return vector


def _only_vector16(extension: bytes, what: str) -> bytes:
    reader = _Reader(extension)
    vector = reader.vector16(what)
    if not reader.at_end():
        raise ClientHelloMalformed(f"bytes after the {what}")
    return vector


def _uint16s(data: bytes, what: str) -> tuple[int, ...]:
    if not data or len(data) % 2:
        raise ClientHelloMalformed(f"{what}: {len(data)} bytes")
    values = struct.unpack(f">{len(data) // 2}H", data)
    if _GREASE.isdisjoint(values):
        return values
    return tuple(value for value in values if value not in _GREASE)


class _Reader:
    """A cursor over one vector. No nested length can pass its end. `what` names the field in the error."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def at_end(self) -> bool:
        return self._position == len(self._data)

    def take(self, length: int, what: str) -> bytes:
        start = self._position
        self._position = end = start + length
        if end > len(self._data):
            raise ClientHelloMalformed(f"{what}: cut off")
        return self._data[start:end]

    def uint8(self, what: str) -> int:
        return self.take(1, what)[0]

    def uint16(self, what: str) -> int:
        return int.from_bytes(self.take(2, what), "big")

    def vector8(self, what: str) -> bytes:
        return self._vector(1, what)

    def vector16(self, what: str) -> bytes:
        return self._vector(2, what)

    def _vector(self, size: int, what: str) -> bytes:
        """Return the content of a vector whose length field has `size` bytes."""
        start = self._position + size
        self._position = end = start + int.from_bytes(self._data[self._position : start], "big")
        if end > len(self._data):  # also where the length field itself is cut off
            raise ClientHelloMalformed(f"{what}: cut off")
        return self._data[start:end]


def describe_version(version: int) -> str:
    """Return the name of a protocol version, its number in hex if it has none."""
    return _VERSIONS.get(version, f"version 0x{version:04X}")


def encode_alert(description: int) -> bytes:
    """Return a fatal alert in a plaintext record (RFC 8446 6)."""
    # Record version 3.1 is TLS 1.0: the oldest clients accept it, and newer ones ignore the field (RFC 8446 5.1).
    return bytes((21, 3, 1, 0, 2, 2, description))
