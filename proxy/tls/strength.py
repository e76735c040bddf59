"""Which certificates are too weak (PS3.15 B.13: RSA >= 2048, EC >= 256 bit, SHA-2), where OpenSSL does not say it."""

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

MINIMUM_RSA_BITS = 2048
MINIMUM_EC_BITS = 256


def weakness(chain: Sequence[x509.Certificate], minimum_ec_bits: int) -> str | None:
    """What is too weak in a chain, or None. The signature of its last certificate proves nothing and is not looked at.

    Raises ValueError or UnsupportedAlgorithm for keys that are of no known kind.
    """
    for certificate in chain:
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            weak = key.key_size < MINIMUM_RSA_BITS
            what = f"RSA key of {key.key_size} bits, less than {MINIMUM_RSA_BITS}"
        elif isinstance(key, ec.EllipticCurvePublicKey):
            weak = key.curve.key_size < minimum_ec_bits
            what = f"EC key of {key.curve.key_size} bits, less than {minimum_ec_bits}"
        else:
            weak = not isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
            what = "key that is neither RSA nor EC"
        if weak:
            return f"{certificate.subject.rfc4514_string()}: {what}"
    for certificate in chain[:-1]:
        algorithm = certificate.signature_hash_algorithm
        if algorithm is not None and algorithm.name in ("md5", "sha1"):
            return f"{certificate.subject.rfc4514_string()}: signed with MD5 or SHA-1"
    return None
