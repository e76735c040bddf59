"""Reads distinguished names and alternative names (RFC 5280 sections 4.1.2.4 and 4.2.1.6)."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from proxy.x509.der import DerError, Element, Tag

COMMON_NAME = "2.5.4.3"

# The short names that RFC 4514 section 3 gives and `cryptography` prints. Other attributes keep their OID.
_SHORT_NAMES = {
    COMMON_NAME: "CN",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.6": "C",
    "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
}
_SPECIAL = re.compile(r'["+,;<>\\]')
_PRINTABLE = re.compile(rb"[A-Za-z0-9 '()+,./:=?-]*")  # X.680 section 41.4
# Types whose content is read as UTF-8, then as Latin-1. A T61String is Latin-1 on devices of the nineties and UTF-8 on
# others; OpenSSL prints it as Latin-1.
_OCTET_STRINGS = {
    Tag.UTF8_STRING,
    Tag.NUMERIC_STRING,
    Tag.PRINTABLE_STRING,
    Tag.T61_STRING,
    Tag.IA5_STRING,
    Tag.VISIBLE_STRING,
    Tag.OCTET_STRING,
    Tag.UTC_TIME,  # not text, but `cryptography` reads both as text
    Tag.GENERALIZED_TIME,
}


@dataclass(frozen=True, slots=True)
class Name:
    """A distinguished name. `text`: as RFC 4514 writes it, last attribute first, special characters escaped.

    `attributes`: the set of (OID, value) of each relative name; a value that is not text is `#` and its hex digits.
    `problem`: the fault of a name that is not well-formed, else "". Such a name is for display, not for comparison.
    """

    text: str = ""
    attributes: tuple[frozenset[tuple[str, str]], ...] = ()
    common_names: tuple[str, ...] = ()
    problem: str = ""

    def __str__(self) -> str:
        return self.text

    def is_same(self, other: "Name") -> bool:
        """Return whether both names have equal attributes. The types of their strings may differ."""
        return self.attributes == other.attributes


NO_NAME = Name()


def read_name(element: Element) -> Name:
    """Read an RDNSequence. Raises DerError if its structure is broken; a value of an odd type is a `problem`."""
    relatives = [_relative_name(relative) for relative in element.expect(Tag.SEQUENCE).reader().elements()]
    values = [value for relative in relatives for value in relative]
    return Name(
        text=",".join("+".join(value.text for value in relative) for relative in reversed(relatives)),
        attributes=tuple(frozenset((value.oid, value.value) for value in relative) for relative in relatives),
        common_names=tuple(value.value for value in values if value.oid == COMMON_NAME and value.is_text),
        problem="; ".join(value.problem for value in values if value.problem),
    )


@dataclass(frozen=True, slots=True)
class _Value:
    """One attribute of a name."""

    oid: str
    value: str
    is_text: bool
    problem: str

    @property
    def text(self) -> str:
        return f"{_SHORT_NAMES.get(self.oid, self.oid)}={escape(self.value) if self.is_text else self.value}"


def _relative_name(element: Element) -> list[_Value]:
    values = []
    for pair in element.expect(Tag.SET).reader().elements():
        reader = pair.expect(Tag.SEQUENCE).reader()
        oid, raw = reader.next().oid(), reader.next()
        reader.expect_end()
        text, problem = _text(raw)
        problem = f"{_SHORT_NAMES.get(oid, oid)} is {problem}" if problem else ""
        values.append(_Value(oid, f"#{raw.content.hex()}" if text is None else text, text is not None, problem))
    if not values:
        raise DerError("an empty relative name")
    return values


def _text(value: Element) -> tuple[str | None, str]:
    """Return the text of an attribute, None if it is not text, and its fault, "" if it has none."""
    raw = value.content
    try:
        if value.tag == Tag.BMP_STRING:
            return raw.decode("utf-16-be"), ""
        if value.tag == Tag.UNIVERSAL_STRING:
            return raw.decode("utf-32-be"), ""
    except UnicodeDecodeError:
        return None, "a string that is not in its own encoding"
    if value.tag not in _OCTET_STRINGS:
        return None, f"a value of tag {value.tag:02X}, which is not text"
    if value.tag == Tag.PRINTABLE_STRING and not _PRINTABLE.fullmatch(raw):
        return raw.decode("latin-1"), "a PrintableString with a character that it may not hold"
    try:
        return raw.decode(), ""
    except UnicodeDecodeError:
        pass
    if value.tag == Tag.UTF8_STRING:
        return None, "a UTF8String that is not UTF-8"
    return raw.decode("latin-1"), "a string outside ASCII, shown as Latin-1"


def escape(value: str) -> str:
    """Escape the value of an attribute (RFC 4514 section 2.4)."""
    value = _SPECIAL.sub(r"\\\g<0>", value).replace("\0", "\\00")
    if value[:1] == "#" or (value[:1] == " " and len(value) > 1):
        value = "\\" + value
    return f"{value[:-1]}\\ " if value[-1:] == " " else value


@dataclass(frozen=True, slots=True)
class AlternativeNames:
    """DNS names, URIs and IP addresses as the certificate has them. `problem`: the faults of unreadable ones, or ""."""

    dns: tuple[str, ...] = ()
    uri: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()
    problem: str = ""


NO_NAMES = AlternativeNames()

_DNS, _URI, _IP = 0x82, 0x86, 0x87  # GeneralName: [2], [6], [7]


def read_alternative_names(element: Element) -> AlternativeNames:
    """Read a SubjectAltName without the other kinds of names. Raises DerError if its structure is broken."""
    found: dict[int, list[str]] = {_DNS: [], _URI: [], _IP: []}
    problems = list[str]()
    for name in element.expect(Tag.SEQUENCE).reader().elements():
        if name.tag not in found:
            continue
        try:
            found[name.tag].append(_address(name.content) if name.tag == _IP else name.content.decode())
        except UnicodeDecodeError:
            problems.append(f"{'a DNS name' if name.tag == _DNS else 'a URI'} in no known encoding")
        except ValueError:
            problems.append(f"an address of {len(name.content)} bytes")
    return AlternativeNames(tuple(found[_DNS]), tuple(found[_URI]), tuple(found[_IP]), "; ".join(_distinct(problems)))


def _address(raw: bytes) -> str:
    if len(raw) in (8, 32):  # address and mask: meant for name constraints, and `cryptography` reads them in a SAN too
        half = len(raw) // 2
        mask = int.from_bytes(raw[half:], "big")
        prefix = mask.bit_count()
        if mask != ((1 << prefix) - 1) << (8 * half - prefix):
            raise ValueError("a mask with holes")
        return str(ipaddress.ip_network((raw[:half], prefix)))
    return str(ipaddress.ip_address(raw))


def _distinct(problems: list[str]) -> Iterator[str]:
    yield from dict.fromkeys(problems)
