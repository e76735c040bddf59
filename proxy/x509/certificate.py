"""Reads a certificate: the value of every field that can be read, and the name of every field that cannot.

Two readers look at the same bytes:
- Our own (`der`) gives the values. It is as tolerant as OpenSSL, which has verified the chain: it reads a T61String, an
  `@` in a PrintableString or a time without seconds.
- `cryptography` gives a second opinion. `Certificate.unreadable` lists each field that either reader refuses, with the
  reason, even if there is a value for it. **Such a value is for display: no decision may match it**, because another
  program could read it otherwise.

`tls.certificates.for_policy` and `Certificate.require` check `unreadable` before a decision, so no peer gets in by a
tolerant reading. tests/unit/x509/test_reading_against_cryptography.py compares both readers over mutated certificates:
where `cryptography` reads a field, ours gives the same value.
"""

import base64
import datetime
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from proxy.x509.der import DerError, Element, Tag, read_element
from proxy.x509.extensions import (
    CLIENT_AUTH,
    NAME_CONSTRAINTS,
    SERVER_AUTH,
    BasicConstraints,
    Extensions,
    read_extensions,
)
from proxy.x509.keys import NO_KEY, Key, read_key
from proxy.x509.names import NO_NAME, NO_NAMES, AlternativeNames, Name, read_name
from proxy.x509.second_opinion import FIELDS, second_opinion
from proxy.x509.signatures import read_hash
from proxy.x509.verification import has_signed

# Stand-ins for unreadable times. The certificate begins after it ends, so it is valid at no time.
_NEVER = datetime.datetime.max.replace(tzinfo=datetime.UTC), datetime.datetime.min.replace(tzinfo=datetime.UTC)


class Unreadable(ValueError):
    """A certificate, or a field of it that a decision needs, cannot be read. The text names the field and the fault."""


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """One certificate. Two certificates are equal if their bytes are equal.

    `unreadable`: field -> reason, for each field that is not well-formed or that `cryptography` refuses. The fields are
    version, serial, signature algorithm, issuer, validity, subject and public key; each extension by its name in
    RFC 5280, or by its OID if this package does not read it; and `extensions` or `certificate` if either is refused as
    a whole. A certificate without readable times is never valid.
    """

    der: bytes = field(repr=False)
    sha256: str  # lower-case hex
    version: int = 1
    serial: int = 0
    signature_hash: str | None = None  # sha256 etc., None where the algorithm has none (Ed25519) or is unknown
    issuer: Name = NO_NAME
    subject: Name = NO_NAME
    not_before: datetime.datetime = _NEVER[0]
    not_after: datetime.datetime = _NEVER[1]
    key: Key = NO_KEY
    names: AlternativeNames = NO_NAMES
    key_usage: frozenset[str] | None = None  # keyCertSign etc.; None without the extension
    extended_key_usage: tuple[str, ...] | None = None  # OIDs; None without the extension
    basic_constraints: BasicConstraints | None = None
    subject_key_identifier: bytes | None = None
    authority_key_identifier: bytes | None = None
    extensions: frozenset[str] = frozenset()  # OIDs of all
    unreadable: Mapping[str, str] = field(default_factory=dict)
    _parsed: x509.Certificate | None = field(default=None, repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.sha256)

    @property
    def parsed(self) -> x509.Certificate:
        """The certificate as `cryptography` loaded it. Raises Unreadable if it could not."""
        if self._parsed is None:
            raise Unreadable(self.why_unreadable)
        return self._parsed

    def require(self, *names: str) -> None:
        """Raise Unreadable if one of these fields is unreadable."""
        for name in names:
            if name in self.unreadable:
                raise Unreadable(f"{name}: {self.unreadable[name]}")

    @property
    def why_unreadable(self) -> str:
        """Each unreadable field with its reason, in one line; empty if all are readable."""
        return "; ".join(f"{name}: {why}" for name, why in self.unreadable.items())

    @property
    def pem(self) -> bytes:
        """The certificate in PEM. Raises Unreadable if `cryptography` could not load it."""
        return self.parsed.public_bytes(Encoding.PEM)

    @property
    def serial_hex(self) -> str:
        return f"{self.serial:x}"

    @property
    def spki_sha256(self) -> str:
        """SHA-256 of the public key in base64, the form of `peers[].cert.spki_sha256`."""
        return base64.b64encode(hashlib.sha256(self.key.spki).digest()).decode()

    @property
    def is_self_issued(self) -> bool:
        return self.issuer.is_same(self.subject)

    @property
    def is_ca(self) -> bool:
        """True if basicConstraints says so, or for a self-issued certificate of version 1. Ignores key usage."""
        if self.basic_constraints is not None:
            return self.basic_constraints.is_ca
        # Version 1 has no extensions, and OpenSSL takes a self-issued certificate of version 1 for a root.
        return self.version == 1 and self.is_self_issued

    @property
    def for_clients(self) -> bool:
        """True if the extended key usage admits TLS clients. As for OpenSSL, anyExtendedKeyUsage is not enough."""
        return self.extended_key_usage is None or CLIENT_AUTH in self.extended_key_usage

    @property
    def for_servers(self) -> bool:
        """True if the extended key usage admits TLS servers. The rule of `for_clients` applies."""
        return self.extended_key_usage is None or SERVER_AUTH in self.extended_key_usage

    @property
    def limits_names(self) -> bool:
        """True if the certificate has name constraints."""
        return NAME_CONSTRAINTS in self.extensions

    def may(self, usage: str) -> bool:
        """Return whether the key usage, if there is one, allows `usage` (digitalSignature, keyCertSign, ...)."""
        return self.key_usage is None or usage in self.key_usage

    def issued(self, other: "Certificate") -> bool:
        """Return whether this name and this key have signed `other`. Raises Unreadable. Does not check validity."""
        # An unreadable name is an error and not a "no": a "no" would skip the CRL of an issuer that revoked `other`.
        self.require("subject")
        other.require("issuer")
        if not self.subject.is_same(other.issuer):
            return False
        try:
            other.parsed.verify_directly_issued_by(self.parsed)
        except Unreadable:
            raise  # a ValueError as well, and the clause below would turn it into a "no"
        except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
            # Another key of the same name (a CA before its renewal), one that cannot sign certificates, or the same
            # name in another string type: `cryptography` compares the bytes of the names, which OpenSSL does not.
            return False
        return True

    def signed(self, other: "Certificate") -> bool:
        """Return whether this key has signed `other`, whatever the names say. Raises Unreadable."""
        return has_signed(self.parsed, other.parsed)


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 of a DER certificate in lower-case hex."""
    return hashlib.sha256(der).hexdigest()


def read(source: bytes | x509.Certificate) -> Certificate:
    """Read a certificate (DER). Raises Unreadable if even the boundaries of its fields are broken."""
    der = source if isinstance(source, bytes) else source.public_bytes(Encoding.DER)
    try:
        certificate, odd = _read_fields(der)  # field -> fault found by our own reader
    except DerError as error:
        raise Unreadable(f"not a certificate in DER: {error}") from None
    parsed, refused = second_opinion(der)
    if parsed is not None and "public key" not in refused:
        # Encode the key again, so that each key has one form: uncompressed point, no stray parameters. Otherwise one
        # key would have several SPKI hashes, and a pin or a CRL of its CA would miss some of them.
        spki = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        certificate = replace(certificate, key=replace(certificate.key, spki=spki))
    return replace(certificate, unreadable=_merge(odd, refused), _parsed=parsed)


def _merge(odd: dict[str, str], refused: dict[str, str]) -> dict[str, str]:
    """Return the unreadable fields with their faults: `odd` found by our own reader, `refused` by `cryptography`."""
    merged = dict(odd)
    for name, why in refused.items():
        # `cryptography` may refuse the certificate or its extensions as a whole. If our reader has named the broken
        # fields in them, the general entry is left out: the names help an administrator more.
        narrower = {"certificate": odd.keys(), "extensions": odd.keys() - FIELDS}.get(name)
        if not narrower:
            merged.setdefault(name, why)
    return merged


class _Fields:
    """The values of the fields read so far, and the fault of each field that is not well-formed."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.odd: dict[str, str] = {}

    @contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """Note a DerError inside the block as the fault of field `name`; the next field is read all the same."""
        try:
            yield
        except DerError as error:
            self.odd[name] = str(error)


def _read_fields(der: bytes) -> tuple[Certificate, dict[str, str]]:
    """Read a Certificate (RFC 5280 section 4.1). Raises DerError if the boundaries of its fields are broken."""
    outer = read_element(der).expect(Tag.SEQUENCE).reader()
    tbs = outer.next(Tag.SEQUENCE).reader()
    algorithm = outer.next()
    outer.next(Tag.BIT_STRING)
    outer.expect_end()
    version = tbs.optional(0xA0)
    # The second of the six repeats `algorithm`. OpenSSL refuses a certificate in which the two differ.
    serial, _, issuer, validity, subject, key = (tbs.next() for _ in range(6))
    rest = {element.tag: element for element in tbs.elements()}  # [1] and [2] unique identifiers, [3] extensions
    fields = _Fields()
    values = fields.values
    # Below, a value is stored before its form is checked: `pki inspect` shows what an odd field contains.
    with fields.reading("version"):
        values["version"] = _version(version)
    with fields.reading("serial"):
        values["serial"] = serial.integer()
        if not serial.is_minimal:
            raise DerError("more octets than the number needs")
    with fields.reading("signature algorithm"):
        values["signature_hash"] = read_hash(algorithm)
    with fields.reading("validity"):
        times = validity.expect(Tag.SEQUENCE).reader()
        for key_name in ("not_before", "not_after"):
            time = times.next()
            values[key_name] = time.time()
            if len(time.content) != (13 if time.tag == Tag.UTC_TIME else 15):
                raise DerError("a time without seconds, with a fraction or with a zone (RFC 5280 section 4.1.2.5)")
    with fields.reading("public key"):
        values["key"] = read_key(key)
    for name, element in (("issuer", issuer), ("subject", subject)):
        with fields.reading(name):
            values[name] = read_name(element)
            if values[name].problem:
                raise DerError(values[name].problem)
    if 0xA3 in rest:
        with fields.reading("extensions"):
            _add_extensions(fields, read_extensions(rest[0xA3]))
    return Certificate(der, fingerprint(der), **values), fields.odd


def _version(element: Element | None) -> int:
    if element is None:
        return 1
    version = read_element(element.content).integer() + 1
    if version not in (1, 2, 3):
        raise DerError(f"version {version} does not exist")
    if version == 1:  # the default of the field: DER omits defaults (X.690 section 11.5)
        raise DerError("version 1 is written out, which DER leaves out")
    return version


def _add_extensions(fields: _Fields, found: Extensions) -> None:
    fields.odd.update(found.problems)
    fields.values.update(
        names=found.names,
        key_usage=found.key_usage,
        extended_key_usage=found.extended_key_usage,
        basic_constraints=found.basic_constraints,
        subject_key_identifier=found.subject_key_identifier,
        authority_key_identifier=found.authority_key_identifier,
        extensions=found.present,
    )
