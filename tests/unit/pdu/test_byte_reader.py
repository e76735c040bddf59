import pytest

from proxy.pdu import InvalidPduParameter, Span
from proxy.pdu.reader import ByteReader


@pytest.mark.parametrize("data", [bytes(range(10)), memoryview(bytes(range(10)))])
def test_reads_big_endian_fields_in_order(data: bytes | memoryview) -> None:
    reader = ByteReader(data, 1)
    assert (reader.uint8(), reader.uint16(), reader.uint32()) == (1, 0x0203, 0x04050607)
    reader.skip(1)
    assert reader.take(1) == b"\x09"
    assert reader.remaining == 0


@pytest.mark.parametrize("read", ["uint8", "uint16", "uint32"])
def test_a_field_never_passes_the_end_of_its_parent(read: str) -> None:
    reader = ByteReader(bytes(8), 4, 4)
    with pytest.raises(InvalidPduParameter):
        getattr(reader, read)()


@pytest.mark.parametrize("read", ["take", "skip", "part", "uid"])
def test_a_counted_field_never_passes_the_end_of_its_parent(read: str) -> None:
    with pytest.raises(InvalidPduParameter):
        getattr(ByteReader(b"1234", 0, 2), read)(3)


def test_items_carry_offsets_of_the_whole_pdu() -> None:
    reader = ByteReader(b"??\x10\0\0\x02ab\x20\0\0\0", 2)
    found = [(item_type, item.span, item.offset, item.remaining) for item_type, item in reader.items()]
    assert found == [(0x10, Span(2, 8), 6, 2), (0x20, Span(8, 12), 12, 0)]


@pytest.mark.parametrize("left", [1, 2, 3])
def test_leftover_too_short_for_an_item_header(left: int) -> None:
    reader = ByteReader(b"\x10\0\0\0" + bytes(left))
    with pytest.raises(InvalidPduParameter, match=f"{left} bytes left at byte 4"):
        list(reader.items())


@pytest.mark.parametrize("excess", [1, 65_535])
def test_item_longer_than_its_parent(excess: int) -> None:
    data = b"\x10\0" + excess.to_bytes(2, "big") + bytes(100_000)
    with pytest.raises(InvalidPduParameter, match=f"{excess} bytes longer"):
        list(ByteReader(data, 0, 4).items())


def test_expect_end() -> None:
    reader = ByteReader(b"ab")
    reader.skip(1)
    with pytest.raises(InvalidPduParameter, match="1 bytes too long"):
        reader.expect_end()
    reader.skip(1)
    reader.expect_end()


@pytest.mark.parametrize(
    ("raw", "uid"),
    [
        (b"1", "1"),
        (b"1.2.840.10008.1.2", "1.2.840.10008.1.2"),
        (b"1.2\0", "1.2"),
        (b"1.2 ", "1.2"),
        (b"1.02.3", "1.02.3"),
        (b"1" * 64, "1" * 64),
        (b"1" * 64 + b"\0", "1" * 64),
    ],
)
def test_uid(raw: bytes, uid: str) -> None:
    assert ByteReader(raw).uid() == uid


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",
        b".",
        b"1.",
        b".1",
        b"1..2",
        b"1.2\0\0",
        b"1.2  ",
        b" 1.2",
        b"1.\x002",
        b"1.2\n",
        b"1.a",
        b"1,2",
        "1.٢".encode(),
        b"1" * 65,
        b"1" * 66,
        b"1" * 65_535,
    ],
)
def test_not_a_uid(raw: bytes) -> None:
    with pytest.raises(InvalidPduParameter) as caught:
        ByteReader(raw).uid()
    assert str(caught.value).isascii() and str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
