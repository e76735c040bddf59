"""The names of the TLS profiles (PS3.15 annex B). What each of them sets is in `proxy.tls.profiles`."""

from typing import Literal

ProfileName = Literal[
    "bcp195-rfc8996",
    "bcp195-rfc8996-modified",
    "bcp195-extended",
    "bcp195-nondowngrading",
    "legacy-bcp195",
    "legacy-aes",
]
DEFAULT_PROFILE_NAME: ProfileName = "bcp195-rfc8996"
#: TLS 1.0 and SHA-1 handshakes: not without `networks` on the listener.
LEGACY_PROFILES: frozenset[ProfileName] = frozenset({"legacy-bcp195", "legacy-aes"})
