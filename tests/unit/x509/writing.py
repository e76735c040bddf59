"""Writes DER for tests: certificates with replaced fields and correct lengths. `signed_by` signs them again."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.x509.der import Tag, read_element
from tests.support import certs

#: Places of the fields in a TBSCertificate with a version.
VERSION, SERIAL, ALGORITHM, ISSUER, VALIDITY, SUBJECT, KEY, EXTENSIONS = range(8)


def element(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def replace_field(der: bytes, field: int, new: bytes) -> bytes:
    """Return the certificate with another element at this place of its TBSCertificate."""
    outer = read_element(der).reader()
    tbs = [part.whole for part in outer.next(Tag.SEQUENCE).reader().elements()]
    tbs[field] = new
    rest = b"".join(part.whole for part in outer.elements())
    return element(Tag.SEQUENCE, element(Tag.SEQUENCE, b"".join(tbs)) + rest)


def extensions_of(der: bytes) -> list[bytes]:
    """Return each extension with its header."""
    tbs = list(read_element(der).reader().next(Tag.SEQUENCE).reader().elements())
    [listed] = tbs[EXTENSIONS].reader().elements()
    return [one.whole for one in listed.reader().elements()]


def replace_extensions(der: bytes, extensions: list[bytes]) -> bytes:
    return replace_field(der, EXTENSIONS, element(0xA3, element(Tag.SEQUENCE, b"".join(extensions))))


def extension(oid: bytes, value: bytes) -> bytes:
    """Return one extension. `oid`: the content octets of the OBJECT IDENTIFIER."""
    return element(Tag.SEQUENCE, element(Tag.OBJECT_IDENTIFIER, oid) + element(Tag.OCTET_STRING, value))


def signed_by(issuer: certs.Issued, der: bytes) -> bytes:
    """Return the certificate with a valid signature (ECDSA with SHA-256) of that issuer."""
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    tbs, algorithm, _ = (part.whole for part in read_element(der).reader().elements())
    signature = issuer.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return element(Tag.SEQUENCE, tbs + algorithm + element(Tag.BIT_STRING, b"\0" + signature))
