"""The hash of each signature algorithm, by which `strength` recognises weak signatures."""

from proxy.x509.der import DerError, Element, Tag

_PSS = "1.2.840.113549.1.1.10"
#: AlgorithmIdentifier -> hash, as `cryptography` names it (RFC 3279, 4055, 5758, 8702).
_HASHES = {
    "1.2.840.113549.1.1.2": "md2",
    "1.2.840.113549.1.1.3": "md4",
    "1.2.840.113549.1.1.4": "md5",
    "1.2.840.113549.1.1.5": "sha1",
    "1.3.14.3.2.29": "sha1",  # of OIW, before PKCS #1 had its own
    "1.2.840.113549.1.1.14": "sha224",
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
    "1.2.840.113549.1.1.15": "sha512-224",
    "1.2.840.113549.1.1.16": "sha512-256",
    "2.16.840.1.101.3.4.3.13": "sha3-224",
    "2.16.840.1.101.3.4.3.14": "sha3-256",
    "2.16.840.1.101.3.4.3.15": "sha3-384",
    "2.16.840.1.101.3.4.3.16": "sha3-512",
    "1.2.840.10045.4.1": "sha1",
    "1.2.840.10045.4.3.1": "sha224",
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
    "2.16.840.1.101.3.4.3.9": "sha3-224",
    "2.16.840.1.101.3.4.3.10": "sha3-256",
    "2.16.840.1.101.3.4.3.11": "sha3-384",
    "2.16.840.1.101.3.4.3.12": "sha3-512",
    "1.2.840.10040.4.3": "sha1",
    "2.16.840.1.101.3.4.3.1": "sha224",
    "2.16.840.1.101.3.4.3.2": "sha256",
}
#: Hashes alone, as the parameters of RSASSA-PSS name them (RFC 4055 section 2.1).
_PSS_HASHES = {
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.4": "sha224",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
    "2.16.840.1.101.3.4.2.5": "sha512-224",
    "2.16.840.1.101.3.4.2.6": "sha512-256",
}
_WITHOUT_HASH = {
    "1.3.101.112",  # Ed25519 and Ed448 (RFC 8410) hash by themselves
    "1.3.101.113",
    "2.16.840.1.101.3.4.3.17",  # ML-DSA-44, -65, -87 (RFC 9881)
    "2.16.840.1.101.3.4.3.18",
    "2.16.840.1.101.3.4.3.19",
}


def read_hash(element: Element) -> str | None:
    """Return the hash of a signature's AlgorithmIdentifier, None for an algorithm that has none.

    Raises DerError for an unknown algorithm: it could be a weak one.
    """
    reader = element.expect(Tag.SEQUENCE).reader()
    oid = reader.next().oid()
    if oid == _PSS:
        parameters = reader.optional(Tag.SEQUENCE)
        explicit = None if parameters is None else parameters.reader().optional(0xA0)
        if explicit is None:
            return "sha1"  # the default of RSASSA-PSS (RFC 4055 section 3.1), so an omitted hash is a weak one
        oid = explicit.reader().next(Tag.SEQUENCE).reader().next().oid()
        return _known(_PSS_HASHES, oid)
    return None if oid in _WITHOUT_HASH else _known(_HASHES, oid)


def _known(hashes: dict[str, str], oid: str) -> str:
    if oid not in hashes:
        raise DerError(f"the unknown algorithm {oid}")
    return hashes[oid]
