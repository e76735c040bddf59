"""Reads the certificate extensions that the gateway uses (RFC 5280 section 4.2.1), each independently of the others."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from proxy.x509.der import DerError, DerReader, Element, Tag, read_element
from proxy.x509.names import NO_NAMES, AlternativeNames, read_alternative_names

CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
ANY_USAGE = "2.5.29.37.0"

NAME_CONSTRAINTS = "2.5.29.30"

#: Names of the bits of keyUsage, in their order (RFC 5280 section 4.2.1.3).
_KEY_USAGES = (
    "digitalSignature",
    "contentCommitment",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
)


@dataclass(frozen=True, slots=True)
class BasicConstraints:
    """The basicConstraints extension. `path_length` None: no limit."""

    is_ca: bool
    path_length: int | None = None


@dataclass(slots=True)
class Extensions:
    """The values of the extensions. None: the extension is absent, or not well-formed if `problems` names it."""

    basic_constraints: BasicConstraints | None = None
    key_usage: frozenset[str] | None = None
    extended_key_usage: tuple[str, ...] | None = None  # OIDs
    names: AlternativeNames = NO_NAMES
    subject_key_identifier: bytes | None = None
    authority_key_identifier: bytes | None = None
    present: frozenset[str] = frozenset()  # OIDs of all, the unknown ones too
    problems: dict[str, str] = field(default_factory=dict)  # name of the extension -> why


def read_extensions(element: Element) -> Extensions:
    """Read the [3] field of a TBSCertificate. Raises DerError if the list itself is broken."""
    found = Extensions()
    present = set[str]()
    for extension in _single(element.reader()).expect(Tag.SEQUENCE).reader().elements():
        reader = extension.expect(Tag.SEQUENCE).reader()
        oid = reader.next().oid()
        if (critical := reader.optional(Tag.BOOLEAN)) is not None:
            critical.boolean()  # checks its form; OpenSSL is the one that refuses unknown critical extensions
        value = reader.next(Tag.OCTET_STRING).content
        reader.expect_end()
        name, attribute, parse = _KNOWN.get(oid, (oid, "", None))
        if oid in present:
            # RFC 5280 section 4.2 allows one of each. Another reader could take the second one.
            found.problems[name] = "occurs twice"
        elif parse is not None:
            try:
                setattr(found, attribute, parse(read_element(value)))
            except DerError as error:
                found.problems[name] = str(error)
        present.add(oid)
    if found.names.problem:
        found.problems.setdefault("subjectAltName", found.names.problem)
    found.present = frozenset(present)
    return found


def _single(reader: DerReader) -> Element:
    element = reader.next()
    reader.expect_end()
    return element


def _basic_constraints(element: Element) -> BasicConstraints:
    reader = element.expect(Tag.SEQUENCE).reader()
    is_ca, path_length = reader.optional(Tag.BOOLEAN), reader.optional(Tag.INTEGER)
    reader.expect_end()
    return BasicConstraints(
        is_ca is not None and is_ca.boolean(), None if path_length is None else path_length.integer()
    )


def _key_usage(element: Element) -> frozenset[str]:
    return frozenset(_KEY_USAGES[bit] for bit in element.flags() if bit < len(_KEY_USAGES))


def _extended_key_usage(element: Element) -> tuple[str, ...]:
    return tuple(purpose.oid() for purpose in element.expect(Tag.SEQUENCE).reader().elements())


def _subject_key_identifier(element: Element) -> bytes:
    return element.expect(Tag.OCTET_STRING).content


def _authority_key_identifier(element: Element) -> bytes | None:
    identifier = element.expect(Tag.SEQUENCE).reader().optional(0x80)  # [0] keyIdentifier
    return None if identifier is None else identifier.content


#: OID -> name, attribute of `Extensions`, reader of the value.
_KNOWN: dict[str, tuple[str, str, Callable[[Element], Any] | None]] = {
    "2.5.29.14": ("subjectKeyIdentifier", "subject_key_identifier", _subject_key_identifier),
    "2.5.29.15": ("keyUsage", "key_usage", _key_usage),
    "2.5.29.17": ("subjectAltName", "names", read_alternative_names),
    "2.5.29.19": ("basicConstraints", "basic_constraints", _basic_constraints),
    "2.5.29.35": ("authorityKeyIdentifier", "authority_key_identifier", _authority_key_identifier),
    "2.5.29.37": ("extendedKeyUsage", "extended_key_usage", _extended_key_usage),
}
