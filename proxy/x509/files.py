"""Reads files of certificates. The error for a file of another kind names that kind and how to convert it."""

import binascii
import functools
import re
from collections.abc import Iterator

from proxy.x509.certificate import Certificate, Unreadable, read
from proxy.x509.keys import PEM_BEGIN, other_pem

_CERTIFICATE_LABELS = ("CERTIFICATE", "X509 CERTIFICATE")
# PFX, RFC 7292 section 4: a SEQUENCE that begins with version 3, where a certificate has another SEQUENCE.
_PKCS12 = re.compile(rb"\x30(?:[\x00-\x80]|\x81.|\x82..|\x83...)\x02\x01\x03", re.DOTALL)


def blocks(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield label and bytes of each PEM block (RFC 7468), no bytes for a private key. Raises ValueError."""
    at = 0
    while (begin := PEM_BEGIN.search(data, at)) is not None:
        label = begin[1].decode()
        end = data.find(b"-----END ", begin.end())
        if not data.startswith(b"-----END %b-----" % begin[1], end):
            raise ValueError(f"the PEM block {label} is cut off")
        # The text of a key is not decoded: an encrypted one has headers (RFC 1421) before its base64, and no caller
        # needs a key.
        yield label, b"" if label.endswith("PRIVATE KEY") else _decode(label, data[begin.end() : end])
        at = end + len(b"-----END ")


def _decode(label: str, text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(b"".join(text.split()), strict_mode=True)
    except binascii.Error as error:
        raise ValueError(f"the PEM block {label} is not base64 ({error})") from None


@functools.lru_cache(maxsize=64)
def read_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Read the certificates of a PEM file, all of which must be readable in full. Raises ValueError with the fault.

    The last 64 files are cached: the checks of a configuration, its TLS contexts and its metrics read the same bytes.
    """
    if b"-----BEGIN CERTIFICATE-----" not in data:
        raise ValueError(f"holds no PEM certificate{_what_instead(data)}")
    found = list[Certificate]()
    try:
        for label, der in blocks(data):
            if label in _CERTIFICATE_LABELS:
                found.append(_read_whole(der))
    except ValueError as error:
        number = f"certificate {len(found) + 1}: " if data.count(b"-----BEGIN CERTIFICATE-----") > 1 else ""
        raise ValueError(f"holds a certificate that cannot be read: {number}{error}") from None
    return tuple(found)


def _read_whole(der: bytes) -> Certificate:
    certificate = read(der)
    if certificate.unreadable:
        named = f"{certificate.subject.text}: " if certificate.subject.text else ""
        raise Unreadable(f"{named}{certificate.why_unreadable}")
    return certificate


def read_leaf_first(data: bytes) -> tuple[Certificate, ...]:
    """Read the certificates of a PEM or DER file in their order. Their fields may be unreadable.

    Raises ValueError if the file contains no certificate.
    """
    ders = [der for label, der in blocks(data) if label in _CERTIFICATE_LABELS] or [data]
    return tuple(map(read, ders))


def _what_instead(data: bytes) -> str:
    if _PKCS12.match(data):
        return ": it is PKCS#12, take them out with `openssl pkcs12 -in FILE -nokeys -out chain.pem`"
    if data[:1] == b"\x30":
        return ": it looks like DER, convert it with `openssl x509 -inform DER`"
    return other_pem(data)
