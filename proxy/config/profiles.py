"""The names of the TLS profiles (PS3.15 annex B). Their settings are in `proxy.tls.profiles`."""

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
#: These profiles allow TLS 1.0 with SHA-1 handshakes, so a listener with one of them needs `networks`.
LEGACY_PROFILES: frozenset[ProfileName] = frozenset({"legacy-bcp195", "legacy-aes"})
