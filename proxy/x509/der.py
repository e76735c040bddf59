"""Reads the part of DER (X.690) that certificates need, from bytes that a peer may have sent.

`cryptography` reads certificates strictly. OpenSSL, which verifies them, does not: it accepts a T61String in Latin-1, a
PrintableString with an `@`, a time without seconds. The gateway has to show and explain such a certificate, so it reads
the fields here. `asn1crypto` is as tolerant, but it is not maintained (newest release: 1.5.1 of March 2022), does not
report which field is odd, and raises KeyError, AttributeError and RecursionError over mutated certificates.

Three properties keep this reader safe, whatever its callers do:
- an element cannot pass the element that holds it: the end of the parent is fixed before its children are read;
- nothing is allocated from a length: a length only moves a cursor inside bytes that exist;
- there is no recursion: each call descends one level, so the depth is that of the calling code.

Only `DerError` is raised.
"""

import datetime
import enum
import re
from collections.abc import Iterator

# Bytes. No identifier in use is longer, and the conversion of an arc to decimal takes quadratic time.
_LONGEST_OID = 128
_LONGEST_LENGTH = 4  # octets of a length: up to 4 GiB, more than any file that is read

# YYMMDD or YYYYMMDD, hhmm, then what BER leaves optional: seconds, a fraction (dropped), a zone.
_TIME = re.compile(rb"(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})?(?:\.\d{1,9})?(Z|[+-]\d{4})?")


class DerError(ValueError):
    """The bytes are no DER, or not the element that belongs here. The text names the fault."""


class Tag(enum.IntEnum):
    """Identifier octets (X.680 section 8.6). All of X.509 fits into one octet."""

    BOOLEAN = 0x01
    INTEGER = 0x02
    BIT_STRING = 0x03
    OCTET_STRING = 0x04
    OBJECT_IDENTIFIER = 0x06
    UTF8_STRING = 0x0C
    NUMERIC_STRING = 0x12
    PRINTABLE_STRING = 0x13
    T61_STRING = 0x14
    IA5_STRING = 0x16
    UTC_TIME = 0x17
    GENERALIZED_TIME = 0x18
    VISIBLE_STRING = 0x1A
    UNIVERSAL_STRING = 0x1C
    BMP_STRING = 0x1E
    SEQUENCE = 0x30
    SET = 0x31


class Element:
    """One element: its tag, and the positions of its header and content in the bytes, which it does not copy."""

    __slots__ = ("_body", "_data", "_end", "_start", "tag")

    def __init__(self, data: bytes, tag: int, start: int, body: int, end: int) -> None:
        self._data, self.tag, self._start, self._body, self._end = data, tag, start, body, end

    @property
    def whole(self) -> bytes:
        """The bytes of header and content."""
        return self._data[self._start : self._end]

    @property
    def content(self) -> bytes:
        return self._data[self._body : self._end]

    def reader(self) -> "DerReader":
        """Return a reader of the content."""
        return DerReader(self._data, self._body, self._end)

    def expect(self, tag: int) -> "Element":
        """Return the element itself if it has this tag; else raise DerError."""
        if self.tag != tag:
            raise DerError(f"tag {self.tag:02X} where {tag:02X} is needed")
        return self

    def integer(self) -> int:
        """Return the value of an INTEGER. Needless leading octets are accepted."""
        content = self.expect(Tag.INTEGER).content
        if not content:
            raise DerError("an INTEGER without content")
        return int.from_bytes(content, "big", signed=True)

    @property
    def is_minimal(self) -> bool:
        """True if an INTEGER has no needless leading octet (X.690 section 8.3.2)."""
        content = self.content
        return len(content) < 2 or not (content[0] in (0, 0xFF) and (content[0] ^ content[1]) < 0x80)

    def boolean(self) -> bool:
        """Return the value of a BOOLEAN. DER has only 00 and FF; like OpenSSL, any octet but 00 counts as true."""
        content = self.expect(Tag.BOOLEAN).content
        if len(content) != 1:
            raise DerError(f"a BOOLEAN of {len(content)} bytes")
        return content != b"\0"

    def oid(self) -> str:
        """Return an OBJECT IDENTIFIER in dotted form (X.690 section 8.19)."""
        content = self.expect(Tag.OBJECT_IDENTIFIER).content
        if not content or len(content) > _LONGEST_OID or content[-1] & 0x80:
            raise DerError("an OBJECT IDENTIFIER that is empty, too long or cut off")
        arcs, arc = [], 0
        for octet in content:
            arc = arc << 7 | octet & 0x7F
            if not octet & 0x80:
                arcs.append(arc)
                arc = 0
        first = min(arcs[0] // 40, 2)  # the first number is 40 * arc 1 + arc 2, and arc 1 is at most 2
        return ".".join(map(str, [first, arcs[0] - 40 * first, *arcs[1:]]))

    def bits(self) -> bytes:
        """Return the octets of a BIT STRING that has no unused bits."""
        content = self.expect(Tag.BIT_STRING).content
        if content[:1] != b"\0":
            raise DerError("a BIT STRING that is empty or does not end at an octet")
        return content[1:]

    def flags(self) -> frozenset[int]:
        """Return the positions of the set bits among the first 32 of a BIT STRING; bit 0 is the first one."""
        # 32 bits are enough: keyUsage, the one caller, has nine. The set of a longer string could grow with the input.
        content = self.expect(Tag.BIT_STRING).content
        if not content or content[0] > 7 or (content[0] and len(content) == 1):
            raise DerError("a BIT STRING with a wrong count of unused bits")
        return frozenset(
            8 * at + bit for at, octet in enumerate(content[1:5]) for bit in range(8) if octet & (0x80 >> bit)
        )

    def time(self) -> datetime.datetime:
        """Return a UTCTime or GeneralizedTime in UTC. Seconds and zone may be missing, as BER allows."""
        if self.tag not in (Tag.UTC_TIME, Tag.GENERALIZED_TIME):
            raise DerError(f"tag {self.tag:02X} where a time is needed")
        match = _TIME.fullmatch(self.content)
        if match is None or (len(match[1]) == 2) is not (self.tag == Tag.UTC_TIME):
            raise DerError("a time in no known form")
        year, zone = int(match[1]), match[7] or b"Z"
        if self.tag == Tag.UTC_TIME:
            year += 1900 if year >= 50 else 2000  # RFC 5280 section 4.1.2.5.1
        try:
            month, day, hour, minute, second = (int(part or 0) for part in match.groups()[1:6])
            when = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
            if zone != b"Z":  # the text is local time, which is ahead of UTC where the offset is positive
                offset = datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
                when = when - offset if zone[:1] == b"+" else when + offset
        except (ValueError, OverflowError):
            raise DerError("a time that is in no calendar") from None
        return when


class DerReader:
    """A cursor over the elements of `data[start:end]`."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data, self._at, self._end = data, start, len(data) if end is None else end

    def next(self, tag: int | None = None) -> Element:
        """Return the next element and move past it. Raises DerError if it does not have `tag`, where one is given."""
        data, start = self._data, self._at
        body, length = self._header()
        end = body + length
        if end > self._end:  # the end of the parent, not of the bytes: a child never reaches into what follows it
            raise DerError(f"an element of {length} bytes where {self._end - body} are left")
        element = Element(data, data[start], start, body, end)
        if tag is not None:
            element.expect(tag)
        self._at = end
        return element

    def _header(self) -> tuple[int, int]:
        """Return where the content of the next element begins, and its length (X.690 section 8.1)."""
        data, at, end = self._data, self._at, self._end
        if at + 2 > end:
            raise DerError("cut off in the header of an element")
        if data[at] & 0x1F == 0x1F:  # tag numbers above 30, which X.509 does not use
            raise DerError("a tag of several octets")
        first = data[at + 1]
        body = at + 2
        if first < 0x80:
            return body, first
        octets = first & 0x7F
        if not octets:
            raise DerError("an indefinite length, which DER does not have")
        if octets > _LONGEST_LENGTH or body + octets > end:
            raise DerError("a length that is too long or cut off")
        return body + octets, int.from_bytes(data[body : body + octets], "big")

    def optional(self, tag: int) -> Element | None:
        """Return the next element if it has this tag; else None, without moving the cursor."""
        if self._at < self._end and self._data[self._at] == tag:
            return self.next()
        return None

    def elements(self) -> Iterator[Element]:
        """Yield the remaining elements."""
        while self._at < self._end:
            yield self.next()

    def expect_end(self) -> None:
        """Raise DerError if anything is left."""
        if self._at != self._end:
            raise DerError(f"{self._end - self._at} bytes too many")


def read_element(data: bytes) -> Element:
    """Return the one element of which `data` consists."""
    reader = DerReader(data)
    element = reader.next()
    reader.expect_end()
    return element
