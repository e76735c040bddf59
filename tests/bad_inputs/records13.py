"""The sending side of TLS 1.3's record layer (RFC 8446 section 5), for records that no TLS library sends.

It takes over from a finished handshake with the client's traffic secret out of the key log.
"""

import struct
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

HANDSHAKE, APPLICATION_DATA = 22, 23
_SUITES = {
    "TLS_AES_256_GCM_SHA384": (hashes.SHA384(), 32, AESGCM),
    "TLS_AES_128_GCM_SHA256": (hashes.SHA256(), 16, AESGCM),
    "TLS_CHACHA20_POLY1305_SHA256": (hashes.SHA256(), 32, ChaCha20Poly1305),
}
_KEY_UPDATE = bytes((24, 0, 0, 1, 1))  # RFC 8446 4.6.3, update_requested


class RecordSealer:
    """Makes records one after the other. Nothing else may write on the connection any more."""

    def __init__(self, secret: bytes, cipher: str) -> None:
        self._hash, self._key_size, self._aead = _SUITES[cipher]
        self._use(secret)

    @classmethod
    def from_key_log(cls, path: Path, cipher: str) -> "RecordSealer":
        """The secret of the latest handshake in the key log."""
        secrets = [
            line.split()[2] for line in path.read_text().splitlines() if line.startswith("CLIENT_TRAFFIC_SECRET_0")
        ]
        return cls(bytes.fromhex(secrets[-1]), cipher)

    def _use(self, secret: bytes) -> None:
        self._secret = secret
        self._cipher = self._aead(self._expand(b"key", self._key_size))
        self._iv = int.from_bytes(self._expand(b"iv", 12), "big")
        self._sequence = 0

    def _expand(self, label: bytes, length: int) -> bytes:
        """HKDF-Expand-Label of RFC 8446 7.1 with an empty context."""
        label = b"tls13 " + label
        info = struct.pack(">HB", length, len(label)) + label + b"\0"
        return HKDFExpand(self._hash, length, info).derive(self._secret)

    def seal(self, data: bytes, content_type: int = APPLICATION_DATA) -> bytes:
        """Seal one record with this plaintext, of any length."""
        header = struct.pack(">BHH", 23, 0x0303, len(data) + 1 + 16)
        nonce = (self._iv ^ self._sequence).to_bytes(12, "big")
        self._sequence += 1
        return header + self._cipher.encrypt(nonce, data + bytes((content_type,)), header)

    def key_update(self) -> bytes:
        """A KeyUpdate that asks for one back."""
        record = self.seal(_KEY_UPDATE, HANDSHAKE)
        self._use(self._expand(b"traffic upd", self._hash.digest_size))
        return record
