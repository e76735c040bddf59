"""Judges which certificates are too weak (PS3.15 B.13: RSA from 2048 bits, EC from 256 bits, SHA-2).

This is the only judge, so `check`, `pki inspect`, `pki issue` and the live path agree. SHA-224 is part of SHA-2.
"""

from collections.abc import Sequence

from proxy.x509.certificate import Certificate
from proxy.x509.keys import Key

MINIMUM_RSA_BITS = 2048
MINIMUM_EC_BITS = 256

_BROKEN_HASHES = {"md2": "MD2", "md4": "MD4", "md5": "MD5", "sha1": "SHA-1"}


def key_weakness(key: Key) -> str | None:
    """Return the weakness of a key, or that its kind is not accepted; None for a strong key."""
    if key.is_edwards:
        return None
    if key.kind not in ("RSA", "EC"):
        return f"a key of kind {key}; RSA or EC is needed"
    least = MINIMUM_RSA_BITS if key.kind == "RSA" else MINIMUM_EC_BITS
    return f"{key.kind} key of {key.bits} bits; at least {least} are needed" if key.bits < least else None


def weakness(certificate: Certificate, *, anchor: bool | None = None) -> str | None:
    """Return the weakness of a certificate, or None.

    `anchor`: the certificate is trusted as itself. None: it is if it is self-issued.
    """
    weak = key_weakness(certificate.key)
    if weak is not None:
        return weak
    broken = _BROKEN_HASHES.get(certificate.signature_hash or "")
    # No verifier checks the signature of an anchor, so its hash protects nothing. Many roots are signed with SHA-1.
    if broken is not None and not (certificate.is_self_issued if anchor is None else anchor):
        return f"signed with {broken}; SHA-2 is needed"
    return None


def chain_weakness(chain: Sequence[Certificate]) -> str | None:
    """Return the first weakness in a verified chain (leaf first, anchor last) with its subject, or None.

    Raises Unreadable if a key or a signature algorithm is of unknown kind: its strength is then unknown too.
    """
    for depth, certificate in enumerate(chain, 1):
        anchor = depth == len(chain)
        certificate.require("public key", *([] if anchor else ["signature algorithm"]))
        weak = weakness(certificate, anchor=anchor)
        if weak is not None:
            return f"{certificate.subject.text}: {weak}"
    return None
