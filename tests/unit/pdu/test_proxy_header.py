"""PROXY protocol headers, whole, byte by byte and with a tail (proxy-protocol.txt, sections 2.1 and 2.2)."""

import ipaddress
import struct

import pytest

from proxy.pdu.proxy_header import (
    ProxyHeader,
    ProxyHeaderMalformed,
    ProxyHeaderMissing,
    ProxyHeaderReader,
    crc32c,
    encode_proxy_header,
)

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = (ipaddress.ip_address("10.20.1.11"), 40000), (ipaddress.ip_address("10.20.0.4"), 2762)
V6 = (ipaddress.ip_address("2001:db8::11"), 40000), (ipaddress.ip_address("2001:db8::4"), 2762)
ADDRESSES = V4[0][0].packed + V4[1][0].packed + struct.pack("!HH", 40000, 2762)
FROM_V4, FROM_V6, FROM_ITSELF = ProxyHeader(*V4), ProxyHeader(*V6), ProxyHeader()


def v2(body: bytes = b"", *, command: int = 0x21, family: int = 0x11, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body) if length is None else length) + body


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def checked(before: bytes = b"", behind: bytes = b"", *, wrong: int = 0) -> bytes:
    """A header with a checksum between two extensions."""
    start = v2(length=len(ADDRESSES + before + tlv(3, bytes(4)) + behind)) + ADDRESSES + before + b"\x03\x00\x04"
    checksum = crc32c(start + bytes(4) + behind) ^ wrong
    return start + checksum.to_bytes(4, "big") + behind


GOOD = [
    (b"PROXY TCP4 10.20.1.11 10.20.0.4 40000 2762\r\n", FROM_V4),
    (b"PROXY TCP6 2001:db8::11 2001:DB8:0:0:0:0:0:4 40000 2762\r\n", FROM_V6),
    (b"PROXY TCP4 10.20.1.11 10.20.0.4 0 65535\r\n", ProxyHeader((V4[0][0], 0), (V4[1][0], 65535))),
    (b"PROXY UNKNOWN\r\n", FROM_ITSELF),
    (b"PROXY UNKNOWN ffff:f...f:ffff \x00 whatever 65535 65535\r\n", FROM_ITSELF),
    (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", FROM_ITSELF),  # 107 bytes
    (v2(ADDRESSES), FROM_V4),
    (v2(V6[0][0].packed + V6[1][0].packed + struct.pack("!HH", 40000, 2762), family=0x21), FROM_V6),
    (v2(command=0x20, family=0), FROM_ITSELF),
    (v2(b"\xff" * 12, command=0x20, family=0xFF), FROM_ITSELF),  # LOCAL: the family is ignored, the rest discarded
    (v2(b"whatever", family=0), FROM_ITSELF),
    (v2(b"/run/a.sock".ljust(108, b"\0") * 2, family=0x31), FROM_ITSELF),
    (v2(bytes(216) + tlv(4, b""), family=0x32), FROM_ITSELF),
    (v2(ADDRESSES + tlv(1, b"dicom") + tlv(4, bytes(9)) + tlv(0x20, b"\1" * 40) + tlv(0xEE, b"")), FROM_V4),
    (v2(ADDRESSES + tlv(4, bytes(65535 - 12 - 3))), FROM_V4),  # the longest
    (checked(), FROM_V4),
    (checked(tlv(1, b"dicom"), tlv(4, b"behind")), FROM_V4),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "header"), GOOD)
@pytest.mark.parametrize("tail", [b"", b"\x16\x03\x01", b"PROXY UNKNOWN\r\n"])
def test_a_header_is_read_and_nothing_behind_it(wire: bytes, header: ProxyHeader, tail: bytes) -> None:
    reader = ProxyHeaderReader()
    assert reader.feed(wire + tail) == header
    assert reader.trailing == tail


@pytest.mark.parametrize(("wire", "header"), GOOD)
def test_chunks_do_not_matter(wire: bytes, header: ProxyHeader) -> None:
    for step in (1, 13) if len(wire) < 1000 else (1000,):
        reader = ProxyHeaderReader()
        fed = [reader.feed(wire[start : start + step]) for start in range(0, len(wire), step)]
        assert fed == [None] * (len(fed) - 1) + [header]
        assert reader.trailing == b""


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (b"PROXY TCP4 10.20.1.11 10.20.0.4 40000 2762\n", "CRLF"),
        (b"PROXY TCP4 10.20.1.11 10.20.0.4 40000\r\n", "another form"),
        (b"PROXY TCP4 10.20.1.11 10.20.0.4 40000 2762 \r\n", "another form"),
        (b"PROXY TCP4  10.20.1.11 10.20.0.4 40000 2762\r\n", "another form"),
        (b"PROXY tcp4 10.20.1.11 10.20.0.4 40000 2762\r\n", "another form"),
        (b"PROXY UDP4 10.20.1.11 10.20.0.4 40000 2762\r\n", "another form"),
        (b"PROXY \r\n", "another form"),
        (b"PROXY TCP4 010.20.1.11 10.20.0.4 40000 2762\r\n", "address"),
        (b"PROXY TCP4 10.20.1 10.20.0.4 40000 2762\r\n", "address"),
        (b"PROXY TCP4 ::1 ::1 40000 2762\r\n", "address"),
        (b"PROXY TCP6 10.20.1.11 10.20.0.4 40000 2762\r\n", "address"),
        (b"PROXY TCP6 fe80::1%eth0 fe80::2 40000 2762\r\n", "zone"),
        (b"PROXY TCP4 10.20.1.11\xb2 10.20.0.4 40000 2762\r\n", "address"),
        (b"PROXY TCP4 10.20.1.11 10.20.0.4 65536 2762\r\n", "port"),
        (b"PROXY TCP4 10.20.1.11 10.20.0.4 40000 -1\r\n", "port"),
        (b"PROXY TCP4 10.20.1.11 10.20.0.4 040 2762\r\n", "port"),
        (b"PROXY TCP4 10.20.1.11 10.20.0.4 40000 \xb2\r\n", "port"),
        (b"PROXY TCP4 10.20.1.11 10.20.0.4 40000 \r\n", "port"),
        (b"PROXY UNKNOWN" + b"x" * 94, "107"),  # 107 bytes, and no end
        (b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", "107"),  # 108 with its end
        (v2(ADDRESSES, command=0x11), "version"),
        (v2(ADDRESSES, command=0x22), "command"),
        (v2(ADDRESSES, family=0x12), "family"),
        (v2(ADDRESSES, family=0x41), "family"),
        (v2(ADDRESSES, family=0x10), "family"),
        (v2(ADDRESSES[:-1]), "11 bytes"),
        (v2(ADDRESSES, family=0x21), "12 bytes"),
        (v2(bytes(215), family=0x31), "215 bytes"),
        (v2(ADDRESSES + b"\4\0"), "cut off"),
        (v2(ADDRESSES + b"\4\0\1"), "longer"),
        (v2(ADDRESSES + tlv(3, bytes(3))), "checksum"),
        (checked(wrong=1), "wrong checksum"),
        (checked(behind=tlv(4, b"x"), wrong=1 << 31), "wrong checksum"),
        (v2(ADDRESSES + tlv(3, bytes(4)) * 2), "second"),
    ],
)  # fmt: skip
def test_what_breaks_the_protocol_is_malformed(wire: bytes, words: str) -> None:
    with pytest.raises(ProxyHeaderMalformed, match=words):
        ProxyHeaderReader().feed(wire)


@pytest.mark.parametrize(
    "wire",
    [b"\x16\x03\x01\x02\x00\x01", b"\x01\x00\x00\x00\x00\xd0", b"PROXX", b"proxy TCP4", b"\r\n\r\n\r\n", b"GET /"],
)
def test_what_is_no_header_is_missing_as_soon_as_that_is_certain(wire: bytes) -> None:
    certain = next(n for n in range(1, 13) if not (b"PROXY ".startswith(wire[:n]) or SIGNATURE.startswith(wire[:n])))
    reader = ProxyHeaderReader()
    assert reader.feed(b"") is None
    assert [reader.feed(wire[n : n + 1]) for n in range(certain - 1)] == [None] * (certain - 1)
    with pytest.raises(ProxyHeaderMissing):
        reader.feed(wire[certain - 1 : certain])


@pytest.mark.parametrize(("version", "other"), [(1, 2), (2, 1)])
def test_a_version_that_is_not_accepted_is_malformed(version: int, other: int) -> None:
    reader = ProxyHeaderReader(frozenset({version}))
    assert reader.feed(encode_proxy_header(version, *V4)) == FROM_V4
    with pytest.raises(ProxyHeaderMalformed, match=f"version {other}"):
        ProxyHeaderReader(frozenset({version})).feed(encode_proxy_header(other, *V4)[:12])


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("ends", [V4, V6])
def test_what_is_encoded_reads_the_same(version: int, ends: tuple[tuple[ipaddress.IPv4Address, int], ...]) -> None:
    assert ProxyHeaderReader().feed(encode_proxy_header(version, *ends)) == ProxyHeader(*ends)


def test_the_bytes_of_the_specification() -> None:
    assert encode_proxy_header(1, *V4) == b"PROXY TCP4 10.20.1.11 10.20.0.4 40000 2762\r\n"
    assert encode_proxy_header(2, *V4) == SIGNATURE + b"\x21\x11\x00\x0c" + ADDRESSES


@pytest.mark.parametrize("ends", [(None, V4[1]), (V4[0], None), (V4[0], V6[1])])
def test_two_families_or_an_unknown_end_are_not_told(ends: tuple[tuple[ipaddress.IPv4Address, int], ...]) -> None:
    assert encode_proxy_header(1, *ends) == b"PROXY UNKNOWN\r\n"
    assert encode_proxy_header(2, *ends) == SIGNATURE + b"\x20\x00\x00\x00"


def test_crc32c_of_the_standard() -> None:
    """RFC 3720 appendix B.4."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"123456789") == 0xE3069283
