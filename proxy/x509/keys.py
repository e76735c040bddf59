"""Reads public keys of certificates, and the public half of private keys."""

import re
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from proxy.x509.der import DerError, Element, Tag, read_element

_RSA = ("1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10")  # RFC 8017 appendix A: rsaEncryption, id-RSASSA-PSS
_EC = "1.2.840.10045.2.1"  # RFC 5480 section 2.1.1
_DSA = "1.2.840.10040.4.1"
_FIXED = {  # RFC 8410: the algorithm fixes the size
    "1.3.101.112": ("Ed25519", 256),
    "1.3.101.113": ("Ed448", 456),
    "1.3.101.110": ("X25519", 256),
    "1.3.101.111": ("X448", 448),
}
#: Curves by identifier, named as SEC 2 and RFC 5639 name them, with the bits of their keys.
_CURVES = {
    "1.2.840.10045.3.1.1": ("secp192r1", 192),
    "1.3.132.0.33": ("secp224r1", 224),
    "1.3.132.0.10": ("secp256k1", 256),
    "1.2.840.10045.3.1.7": ("secp256r1", 256),
    "1.3.132.0.34": ("secp384r1", 384),
    "1.3.132.0.35": ("secp521r1", 521),
    "1.3.36.3.3.2.8.1.1.7": ("brainpoolP256r1", 256),
    "1.3.36.3.3.2.8.1.1.11": ("brainpoolP384r1", 384),
    "1.3.36.3.3.2.8.1.1.13": ("brainpoolP512r1", 512),
}
_NIST_NAMES = {"secp224r1": "P-224", "secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}

PEM_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,32})-----")  # RFC 7468 section 3


@dataclass(frozen=True, slots=True)
class Key:
    """A public key. `kind`: RSA, EC, DSA, Ed25519, ..., or the OID of an unknown algorithm; `bits` 0: unknown.

    `curve`: for EC, the name in SEC 2 or RFC 5639. `spki`: the SubjectPublicKeyInfo in DER.
    """

    kind: str = ""
    bits: int = 0
    curve: str = ""
    spki: bytes = b""

    def __str__(self) -> str:
        if self.kind == "EC":
            return f"EC {_NIST_NAMES.get(self.curve, self.curve)}"
        return f"{self.kind} {self.bits}" if self.kind in ("RSA", "DSA") else self.kind or "unknown"

    @property
    def is_edwards(self) -> bool:
        """True for Ed25519 and Ed448, which DCMTK and programs built on it cannot verify."""
        return self.kind in ("Ed25519", "Ed448")


NO_KEY = Key()


def read_key(element: Element) -> Key:
    """Read a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7). Raises DerError."""
    reader = element.expect(Tag.SEQUENCE).reader()
    algorithm = reader.next(Tag.SEQUENCE).reader()
    value = reader.next().bits()
    reader.expect_end()
    oid, spki = algorithm.next().oid(), element.whole
    if oid in _RSA:
        modulus = read_element(value).expect(Tag.SEQUENCE).reader().next().integer()
        if modulus <= 0:
            raise DerError("an RSA modulus that is not positive")
        return Key("RSA", modulus.bit_length(), "", spki)
    if oid == _EC:
        parameters = algorithm.next()
        if parameters.tag != Tag.OBJECT_IDENTIFIER:
            # RFC 5480 section 2.1.1 forbids parameters: with a generator of its own choice an attacker has a private
            # key for the public key of any CA (CVE-2020-0601).
            raise DerError("an EC key whose curve is given by parameters, not by name")
        curve = parameters.oid()
        if curve not in _CURVES:
            raise DerError(f"an EC key on the unknown curve {curve}")
        name, bits = _CURVES[curve]
        return Key("EC", bits, name, spki)
    if oid == _DSA:
        prime = algorithm.next(Tag.SEQUENCE).reader().next().integer()
        return Key("DSA", prime.bit_length(), "", spki)
    kind, bits = _FIXED.get(oid, (oid, 0))
    return Key(kind, bits, "", spki)


class EncryptedKey(ValueError):
    """A private key that needs a password."""


def public_key_of(key: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo (DER) of a PEM private key. Raises EncryptedKey or another ValueError."""
    try:
        public = load_pem_private_key(key, password=None).public_key()
    except TypeError:  # how `cryptography` reports that the key needs a password
        raise EncryptedKey(
            "is encrypted, and a service cannot ask for its password: decrypt it with `openssl pkey -in FILE -out NEW`"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        instead = "" if b"PRIVATE KEY-----" in key else other_pem(key)
        raise ValueError(f"holds no PEM private key that can be read{instead}") from None
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def other_pem(data: bytes) -> str:
    """Return `: it holds LABEL` for a PEM file, to end the message for a wrong file; "" for other files."""
    label = PEM_BEGIN.search(data)
    return f": it holds {label[1].decode()}" if label is not None else ""
