"""The PROXY protocol reader on any bytes: only its own errors, and the same result for all chunk sizes."""

import contextlib
import ipaddress
import struct

from hypothesis import given
from hypothesis import strategies as st

from proxy.pdu.proxy_header import ProxyHeader, ProxyHeaderError, ProxyHeaderReader, crc32c, encode_proxy_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
PORTS = st.integers(0, 0xFFFF)


@st.composite
def version_2(draw: st.DrawFn) -> bytes:
    """Fields that are mostly right, and a length that is mostly that of what follows."""
    command = draw(st.sampled_from([0x20, 0x21, 0x21, 0x21, 0x31, 0x2F]))
    family = draw(st.sampled_from([0x00, 0x11, 0x21, 0x31, 0x32, 0x12, 0xFF]))
    tlvs = draw(st.lists(st.tuples(st.sampled_from([1, 3, 4, 0x20]), st.binary(max_size=9)), max_size=4))
    extensions = b"".join(struct.pack("!BH", kind, len(value)) + value for kind, value in tlvs)
    body = draw(st.sampled_from([b"", bytes(12), bytes(36), bytes(216)])) + extensions
    length = draw(st.sampled_from([len(body), len(body), len(body) + 1, max(0, len(body) - 1), 0xFFFF]))
    return SIGNATURE + struct.pack("!BBH", command, family, length) + body


LINES = st.one_of(
    st.from_regex(rb"PROXY (TCP4|TCP6|UNKNOWN)( [0-9a-f.:]{1,40}){0,6}\r?\n", fullmatch=True),
    st.binary(max_size=120).map(lambda rest: b"PROXY " + rest),
)
WIRES = st.one_of(st.binary(max_size=300), LINES, version_2(), st.builds(bytes.__add__, version_2(), st.binary()))


def outcome(wire: bytes, chunks: list[int]) -> tuple[ProxyHeader | str | None, bytes]:
    """The result of a reader that is fed these pieces, and the bytes it leaves."""
    reader, start = ProxyHeaderReader(), 0
    for size in (*chunks, len(wire)):
        try:
            header = reader.feed(wire[start : start + size])
        except ProxyHeaderError as error:
            return type(error).__name__, b""
        start += size
        if header is not None:
            return header, reader.trailing + wire[start:]
    return None, b""


@given(WIRES)
def test_any_bytes_raise_nothing_but_the_two_findings(wire: bytes) -> None:
    with contextlib.suppress(ProxyHeaderError):
        ProxyHeaderReader().feed(wire)


@given(WIRES, st.lists(st.integers(1, 40), max_size=12))
def test_chunks_never_change_the_result(wire: bytes, chunks: list[int]) -> None:
    assert outcome(wire, chunks) == outcome(wire, [])


@given(st.sampled_from([1, 2]), st.booleans(), st.data(), PORTS, PORTS, st.binary(max_size=40))
def test_what_is_encoded_is_read_and_the_rest_is_left(
    version: int, old: bool, data: st.DataObject, source_port: int, destination_port: int, tail: bytes
) -> None:
    addresses = st.ip_addresses(v=4 if old else 6)
    ends = (data.draw(addresses), source_port), (data.draw(addresses), destination_port)
    assert outcome(encode_proxy_header(version, *ends) + tail, []) == (ProxyHeader(*ends), tail)


@given(st.data())
def test_a_header_with_a_checksum_survives_no_change(data: st.DataObject) -> None:
    """Return whether the changed bytes are still a header with addresses and a checksum."""
    addresses = ipaddress.ip_address("10.0.0.1").packed * 2 + b"\x9c\x40\x0a\xca"
    start = SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 19) + addresses + b"\x03\x00\x04"
    wire = start + crc32c(start + bytes(4)).to_bytes(4, "big")
    position = data.draw(st.integers(16, len(wire) - 1).filter(lambda at: at not in range(28, 31)))
    changed = wire[:position] + bytes([wire[position] ^ data.draw(st.integers(1, 255))]) + wire[position + 1 :]
    assert outcome(wire, [])[0] == ProxyHeader(
        (ipaddress.ip_address("10.0.0.1"), 40000), (ipaddress.ip_address("10.0.0.1"), 2762)
    )
    assert outcome(changed, []) == ("ProxyHeaderMalformed", b"")
