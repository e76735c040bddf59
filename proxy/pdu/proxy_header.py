"""The PROXY protocol, versions 1 and 2: a load balancer names its client's address (HAProxy proxy-protocol.txt).

The header precedes everything else on a connection. Nothing is guessed: a header that the text does not allow is
malformed, and bytes that do not begin like a header are a missing one.
"""

import ipaddress
import struct
from dataclasses import dataclass
from functools import cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Endpoint = tuple[Address, int]  # address and TCP port

_V1 = b"PROXY "
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_LONGEST_V1 = 107  # section 2.1: with its CRLF
_FIXED = 16  # section 2.2: signature, version and command, family and protocol, length
_LOCAL, _PROXY = 0x20, 0x21
_UNSPEC, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, (0x31, 0x32)
_ADDRESSES = {_TCP4: struct.Struct("!4s4sHH"), _TCP6: struct.Struct("!16s16sHH")}
_UNIX_ADDRESSES = 216
_TLV = struct.Struct("!BH")
_CRC32C = 0x03  # PP2_TYPE_CRC32C
_CRC_LENGTH = 4


class ProxyHeaderError(Exception):
    """The connection did not begin with a valid PROXY header."""


class ProxyHeaderMissing(ProxyHeaderError):
    """The connection began with something else."""


class ProxyHeaderMalformed(ProxyHeaderError):
    """The connection began with a header that breaks the protocol."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """The client and the address it connected to. Both None: the load balancer itself (LOCAL), or not known."""

    source: Endpoint | None = None
    destination: Endpoint | None = None


class ProxyHeaderReader:
    """Reads one header. `versions`: 1, 2 or both. Memory grows with the bytes received, up to 64 KiB."""

    __slots__ = ("_received", "_versions", "trailing")

    def __init__(self, versions: frozenset[int] = frozenset({1, 2})) -> None:
        self._versions = versions
        self._received = bytearray()
        self.trailing = b""  # the bytes after the header

    @property
    def started(self) -> bool:
        """True once a byte was received."""
        return bool(self._received)

    def feed(self, data: bytes | memoryview) -> ProxyHeader | None:
        """Take any slice; return the header once it is complete, else None. Raises ProxyHeaderError."""
        self._received += data
        received = self._received
        for version, signature in ((1, _V1), (2, _V2)):
            if received.startswith(signature) and version not in self._versions:
                raise ProxyHeaderMalformed(f"a header of version {version}, which is not accepted here")
        if received.startswith(_V1):
            return self._version_1()
        if received.startswith(_V2):
            return self._version_2()
        if _V1.startswith(received) or _V2.startswith(received):
            return None
        raise ProxyHeaderMissing("the first bytes are no PROXY header")

    def _version_1(self) -> ProxyHeader | None:
        end = self._received.find(b"\n", 0, _LONGEST_V1) + 1
        if not end:
            if len(self._received) >= _LONGEST_V1:
                raise ProxyHeaderMalformed(f"no end of line in {_LONGEST_V1} bytes")
            return None
        return self._complete(end, parse_version_1(self._received[:end]))

    def _version_2(self) -> ProxyHeader | None:
        if len(self._received) < _FIXED:
            return None
        end = _FIXED + int.from_bytes(self._received[14:_FIXED], "big")
        if len(self._received) < end:
            return None
        return self._complete(end, parse_version_2(bytes(self._received[:end])))

    def _complete(self, end: int, header: ProxyHeader) -> ProxyHeader:
        self.trailing = bytes(self._received[end:])
        return header


def parse_version_1(line: bytes | bytearray) -> ProxyHeader:
    """Parse a line (section 2.1), its CRLF included. Raises `ProxyHeaderMalformed`."""
    if not line.endswith(b"\r\n"):
        raise ProxyHeaderMalformed("a line that does not end with CRLF")
    words = line[:-2].split(b" ")
    if words[1] == b"UNKNOWN":
        return ProxyHeader()  # whatever follows is to be ignored
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise ProxyHeaderMalformed("a line of another form than PROXY TCP4|TCP6 SOURCE DESTINATION PORT PORT")
    read = ipaddress.IPv4Address if words[1] == b"TCP4" else ipaddress.IPv6Address
    try:
        source, destination = (read(word.decode("ascii")) for word in words[2:4])
    except ValueError:
        raise ProxyHeaderMalformed(f"an address that is none of {words[1].decode()}") from None
    if any(isinstance(address, ipaddress.IPv6Address) and address.scope_id for address in (source, destination)):
        raise ProxyHeaderMalformed("an address with a zone")
    return ProxyHeader((source, _port(words[4])), (destination, _port(words[5])))


def _port(word: bytes | bytearray) -> int:
    """Return a decimal port. Leading zeros are refused: some parsers read `0080` as octal."""
    if not (word.isdigit() and len(word) <= 5 and (word == b"0" or word[0] != ord("0")) and int(word) <= 0xFFFF):
        raise ProxyHeaderMalformed("a port that is not in 0..65535")
    return int(word)


def parse_version_2(header: bytes) -> ProxyHeader:
    """Parse a complete binary header (section 2.2). Raises `ProxyHeaderMalformed`."""
    command, family = header[12], header[13]
    if command == _LOCAL:
        return ProxyHeader()  # the rest is to be discarded, the family included
    if command != _PROXY:
        raise ProxyHeaderMalformed(f"version and command {command:#04x}")
    if family == _UNSPEC:
        return ProxyHeader()  # the length of its addresses is not defined, so neither is where its TLVs begin
    body = header[_FIXED:]
    layout = _ADDRESSES.get(family)
    if layout is None and family not in _UNIX:
        raise ProxyHeaderMalformed(f"family and protocol {family:#04x}")
    size = _UNIX_ADDRESSES if layout is None else layout.size
    if len(body) < size:
        raise ProxyHeaderMalformed(f"{len(body)} bytes where the addresses have {size}")
    _check_extensions(header, _FIXED + size)
    if layout is None:
        return ProxyHeader()
    source, destination, source_port, destination_port = layout.unpack_from(body)
    return ProxyHeader(
        (ipaddress.ip_address(source), source_port), (ipaddress.ip_address(destination), destination_port)
    )


def _check_extensions(header: bytes, position: int) -> None:
    """Check that the TLVs after the addresses fill the rest, and that a checksum among them is right."""
    checksum: int | None = None
    while position < len(header):
        value = position + _TLV.size
        if value > len(header):
            raise ProxyHeaderMalformed("an extension that is cut off")
        kind, length = _TLV.unpack_from(header, position)
        position = value + length
        if position > len(header):
            raise ProxyHeaderMalformed("an extension that is longer than the header")
        if kind == _CRC32C:
            if length != _CRC_LENGTH or checksum is not None:
                raise ProxyHeaderMalformed("a checksum of another length, or a second one")
            checksum = value
    if checksum is not None:
        end = checksum + _CRC_LENGTH
        if crc32c(header[:checksum] + bytes(_CRC_LENGTH) + header[end:]) != int.from_bytes(header[checksum:end], "big"):
            raise ProxyHeaderMalformed("a wrong checksum")


def encode_proxy_header(version: int, source: Endpoint | None, destination: Endpoint | None) -> bytes:
    """Encode a header of version 1 or 2: UNKNOWN or LOCAL if an end is not known, or the ends differ in family."""
    if source is None or destination is None or source[0].version != destination[0].version:
        return b"PROXY UNKNOWN\r\n" if version == 1 else _V2 + bytes((_LOCAL, _UNSPEC, 0, 0))
    (client, client_port), (server, server_port) = source, destination
    if version == 1:
        return f"PROXY TCP{client.version} {client} {server} {client_port} {server_port}\r\n".encode()
    family = _TCP4 if client.version == 4 else _TCP6
    body = _ADDRESSES[family].pack(client.packed, server.packed, client_port, server_port)
    return _V2 + struct.pack("!BBH", _PROXY, family, len(body)) + body


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)  # RFC 3720 appendix B.4, reflected
        table.append(byte)
    return tuple(table)


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of `data` (Castagnoli; RFC 3720 section 12.1)."""
    crc, table = 0xFFFFFFFF, _crc_table()
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
