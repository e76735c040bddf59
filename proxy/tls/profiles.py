"""The DICOM TLS profiles (PS3.15 annex B) as data, and OpenSSL's settings for each.

Cipher suites are in order of preference. Never call `set_ecdh_curve`: it leaves one single group, but DCMTK has P-256
and no X25519, while other peers prefer X25519.
"""

import ssl
import warnings
from dataclasses import dataclass

from proxy.config.profiles import DEFAULT_PROFILE_NAME, ProfileName
from proxy.tls.memory_file import memory_path

_ECDHE_RSA_256, _ECDHE_RSA_128 = "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"
_ECDHE_ECDSA_256, _ECDHE_ECDSA_128 = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"
_DHE_RSA_256, _DHE_RSA_128 = "DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256"
_NON_DOWNGRADING = (_ECDHE_RSA_256, _ECDHE_RSA_128, _DHE_RSA_256, _DHE_RSA_128)
_RETIRED_FALLBACK = ("AES128-SHA", "DES-CBC3-SHA")
_TLS13 = ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256")

_FFDHE2048 = b"""\
-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile. `security_level` is OpenSSL's. Level 0 admits weak certificates, so the gateway checks them."""

    name: ProfileName
    section: str  # of PS3.15
    minimum: ssl.TLSVersion
    maximum: ssl.TLSVersion
    cipher_suites: tuple[str, ...]  # up to TLS 1.2, OpenSSL's names
    tls13_suites: tuple[str, ...] = _TLS13
    security_level: int = 2
    checks_strength: bool = False  # the gateway checks the keys and hashes of peers' certificates (x509/strength.py)
    retired: bool = False  # PS3.15 has retired the profile; it remains for old devices

    def apply(self, context: ssl.SSLContext) -> None:
        """Set versions, suites, groups and options. Raises `ssl.SSLError` if OpenSSL has none of the suites."""
        with warnings.catch_warnings():
            # Python warns of versions below TLS 1.2. The administrator has chosen the legacy profile by its name.
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = self.minimum
            context.maximum_version = self.maximum
        # This sets the suites up to TLS 1.2. Python 3.11 has no call for those of TLS 1.3, so OpenSSL serves its three
        # defaults; `missing_suites` reports the others of a profile.
        context.set_ciphers(f"{':'.join(self.cipher_suites)}:@SECLEVEL={self.security_level}")
        if any(suite.startswith("DHE-") for suite in self.cipher_suites):
            # Without parameters a server never chooses a DHE suite. These are ffdhe2048 (RFC 7919): 2048 bits, which
            # no client can lower.
            with memory_path(_FFDHE2048) as path:
                context.load_dh_params(path)
        # Renegotiation would let a client repeat the handshake inside a connection that policy has already judged, with
        # another certificate, and as often as it likes. For the tickets see `contexts.py`.
        context.options |= (
            ssl.OP_NO_COMPRESSION
            | ssl.OP_NO_RENEGOTIATION
            | ssl.OP_NO_TICKET
            | ssl.OP_CIPHER_SERVER_PREFERENCE
            | ssl.OP_SINGLE_DH_USE
            | ssl.OP_SINGLE_ECDH_USE
        )


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            "bcp195-rfc8996",
            "B.12",
            ssl.TLSVersion.TLSv1_2,
            ssl.TLSVersion.MAXIMUM_SUPPORTED,
            (_ECDHE_ECDSA_256, _ECDHE_RSA_256, _ECDHE_ECDSA_128, _ECDHE_RSA_128),
        ),
        Profile(
            "bcp195-rfc8996-modified",
            "B.13",
            ssl.TLSVersion.TLSv1_2,
            ssl.TLSVersion.MAXIMUM_SUPPORTED,
            (
                _ECDHE_ECDSA_256,
                _ECDHE_RSA_256,
                "ECDHE-ECDSA-AES256-CCM",
                "ECDHE-ECDSA-AES256-CCM8",
                "ECDHE-ECDSA-CHACHA20-POLY1305",
                "ECDHE-RSA-CHACHA20-POLY1305",
                _ECDHE_RSA_128,
                _ECDHE_ECDSA_128,
                "ECDHE-ECDSA-AES128-CCM",
                "ECDHE-ECDSA-AES128-CCM8",
            ),
            tls13_suites=(*_TLS13, "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"),
            checks_strength=True,
        ),
        Profile(
            "bcp195-extended",
            "B.11",
            ssl.TLSVersion.TLSv1_2,
            ssl.TLSVersion.TLSv1_2,
            (_ECDHE_ECDSA_256, *_NON_DOWNGRADING, _ECDHE_ECDSA_128),
            tls13_suites=(),
            retired=True,
        ),
        Profile(
            "bcp195-nondowngrading",
            "B.10",
            ssl.TLSVersion.TLSv1_2,
            ssl.TLSVersion.MAXIMUM_SUPPORTED,
            _NON_DOWNGRADING,
            retired=True,
        ),
        Profile(
            "legacy-bcp195",
            "B.9",
            ssl.TLSVersion.TLSv1,
            ssl.TLSVersion.MAXIMUM_SUPPORTED,
            (*_NON_DOWNGRADING, *_RETIRED_FALLBACK),
            # OpenSSL 3 speaks TLS 1.0 and 1.1 at level 0 only, because their handshakes are signed with SHA-1.
            security_level=0,
            checks_strength=True,
            retired=True,
        ),
        Profile(
            "legacy-aes",
            "B.3",
            ssl.TLSVersion.TLSv1,
            ssl.TLSVersion.TLSv1_2,
            _RETIRED_FALLBACK,
            tls13_suites=(),
            security_level=0,
            checks_strength=True,
            retired=True,
        ),
    )
}

DEFAULT_PROFILE = PROFILES[DEFAULT_PROFILE_NAME]


def missing_suites(profile: Profile) -> list[str]:
    """Return the suites of the profile, by OpenSSL's names, that this OpenSSL or Python's `ssl` cannot serve."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    profile.apply(context)
    served = {suite["name"] for suite in context.get_ciphers()}
    return [suite for suite in (*profile.tls13_suites, *profile.cipher_suites) if suite not in served]
