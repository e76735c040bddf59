"""Reads fields and items out of a received PDU, never past the end of the item that holds them."""

import re
from collections.abc import Iterator

from proxy.pdu.errors import InvalidPduParameter
from proxy.pdu.model import Span

_UID = re.compile(rb"[0-9]+(?:\.[0-9]+)*")
_LONGEST_UID = 64  # PS3.5 section 9
_ITEM_HEADER = 4  # type, reserved, 16-bit length (PS3.8 section 9.3.1)


def is_uid(raw: bytes) -> bool:
    """Return whether the bytes are a UID without padding (PS3.5 section 9.1)."""
    return len(raw) <= _LONGEST_UID and _UID.fullmatch(raw) is not None


class ByteReader:
    """A cursor over `data[offset:end]`. Offsets are those of the whole PDU.

    Every read that would pass `end` raises InvalidPduParameter.
    """

    __slots__ = ("_data", "_start", "end", "offset")

    def __init__(
        self, data: bytes | memoryview, offset: int = 0, end: int | None = None, start: int | None = None
    ) -> None:
        """`start`: position of the header of the item whose body is read; None: `offset`."""
        self._data = data
        self.offset = offset
        self.end = len(data) if end is None else end
        self._start = offset if start is None else start

    @property
    def span(self) -> Span:
        """The whole item with its header, independent of the cursor."""
        return Span(self._start, self.end)

    @property
    def remaining(self) -> int:
        return self.end - self.offset

    def _advance(self, count: int) -> int:
        at = self.offset
        if at + count > self.end:
            raise InvalidPduParameter(
                f"item at byte {self._start}: {self.end - at} bytes left where {count} are needed"
            )
        self.offset = at + count
        return at

    def uint8(self) -> int:
        return self._data[self._advance(1)]

    def uint16(self) -> int:
        at = self._advance(2)
        return int.from_bytes(self._data[at : at + 2], "big")

    def uint32(self) -> int:
        at = self._advance(4)
        return int.from_bytes(self._data[at : at + 4], "big")

    def take(self, count: int) -> bytes:
        """Return a copy of the next `count` bytes."""
        at = self._advance(count)
        return bytes(self._data[at : at + count])

    def skip(self, count: int) -> None:
        self._advance(count)

    def part(self, count: int) -> "ByteReader":
        """Return a reader of the next `count` bytes."""
        at = self._advance(count)
        return ByteReader(self._data, at, at + count, self._start)

    def expect_end(self) -> None:
        """Raise InvalidPduParameter if the item is longer than what was read of it."""
        if self.offset != self.end:
            raise InvalidPduParameter(f"item at byte {self._start}: {self.end - self.offset} bytes too long")

    def uid(self, length: int | None = None) -> str:
        """Read a UID (PS3.8 annex F) of `length` bytes, None: of the rest. One NUL or space of padding is cut."""
        raw = self.take(self.remaining if length is None else length)
        unpadded = raw[:-1] if raw.endswith((b"\0", b" ")) else raw
        if not is_uid(unpadded):
            raise InvalidPduParameter(f"item at byte {self._start}: not a UID: {raw[: _LONGEST_UID + 1]!r}")
        return unpadded.decode("ascii")

    def items(self) -> Iterator[tuple[int, "ByteReader"]]:
        """Yield type and body reader of each item that is left. No body reaches past the end of this reader."""
        data, end = self._data, self.end
        while self.offset < end:
            start = self.offset
            body = start + _ITEM_HEADER
            if body > end:
                raise InvalidPduParameter(
                    f"{end - start} bytes left at byte {start} where an item header needs {_ITEM_HEADER}"
                )
            item_end = body + (data[start + 2] << 8 | data[start + 3])
            if item_end > end:
                raise InvalidPduParameter(
                    f"item {data[start]:02X}H at byte {start} is {item_end - end} bytes longer than what holds it"
                )
            self.offset = item_end
            yield data[start], ByteReader(data, body, item_end, start)
