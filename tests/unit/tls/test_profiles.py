import base64
import ssl
from typing import get_args

import pytest

from proxy.config.profiles import ProfileName
from proxy.tls.contexts import ServerContext
from proxy.tls.profiles import _FFDHE2048, DEFAULT_PROFILE, PROFILES, missing_suites
from proxy.tls.suites import describe_suites, suite_code
from tests.support import certs
from tests.support.tls_pair import client, server_settings, shake_hands

V10, V11 = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
LEVEL_0 = ":@SECLEVEL=0"

ECDHE_RSA = {"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"}
ECDHE_ECDSA = {"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"}
DHE_RSA = {"DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256"}
MODIFIED = {
    "ECDHE-ECDSA-AES256-CCM",
    "ECDHE-ECDSA-AES256-CCM8",
    "ECDHE-ECDSA-AES128-CCM",
    "ECDHE-ECDSA-AES128-CCM8",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
}
SUITES = {
    "bcp195-rfc8996": ECDHE_RSA | ECDHE_ECDSA,
    "bcp195-rfc8996-modified": ECDHE_RSA | ECDHE_ECDSA | MODIFIED,
    "bcp195-extended": ECDHE_RSA | ECDHE_ECDSA | DHE_RSA,
    "bcp195-nondowngrading": ECDHE_RSA | DHE_RSA,
    "legacy-bcp195": ECDHE_RSA | DHE_RSA | {"AES128-SHA"},
    "legacy-aes": {"AES128-SHA"},
}
VERSIONS = {
    "bcp195-rfc8996": {V12, V13},
    "bcp195-rfc8996-modified": {V12, V13},
    "bcp195-extended": {V12},
    "bcp195-nondowngrading": {V12, V13},
    "legacy-bcp195": {V10, V11, V12, V13},
    "legacy-aes": {V10, V11, V12},
}
#: Suites of this OpenSSL that only the profiles above may serve.
OTHERS = {
    "AES256-SHA",
    "AES128-GCM-SHA256",
    "AES128-SHA256",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA256",
    "DHE-RSA-AES128-SHA",
    "DHE-RSA-CHACHA20-POLY1305",
    "ADH-AES128-SHA",
    "AECDH-AES128-SHA",
    "NULL-SHA",
    "ECDHE-RSA-NULL-SHA",
}
EVERYTHING = set().union(OTHERS, *SUITES.values())


@pytest.fixture(scope="module")
def contexts() -> dict[str, ServerContext]:
    return {name: ServerContext(server_settings(profile=name)) for name in PROFILES}


def test_every_profile_of_the_reference_is_there() -> None:
    assert set(PROFILES) == set(SUITES)
    assert DEFAULT_PROFILE.name == "bcp195-rfc8996"
    assert {p.name for p in PROFILES.values() if not p.retired} == {"bcp195-rfc8996", "bcp195-rfc8996-modified"}


@pytest.mark.parametrize("version", [V10, V11, V12, V13])
@pytest.mark.parametrize("name", PROFILES)
def test_each_version_is_spoken_or_refused(contexts: dict[str, ServerContext], name: str, version: int) -> None:
    tls_version = ssl.TLSVersion(version)
    result = shake_hands(
        contexts[name], client(minimum=tls_version, maximum=tls_version, ciphers=f"ALL:COMPLEMENTOFALL{LEVEL_0}")
    )
    if tls_version in VERSIONS[name]:
        assert result.server_error is None
        assert result.server.version() == {V10: "TLSv1", V11: "TLSv1.1", V12: "TLSv1.2", V13: "TLSv1.3"}[tls_version]
    else:
        assert result.server_error is not None
        assert result.server_error.reason == "UNSUPPORTED_PROTOCOL"


@pytest.mark.parametrize("suite", sorted(EVERYTHING))
@pytest.mark.parametrize("name", PROFILES)
def test_each_suite_is_served_or_refused(contexts: dict[str, ServerContext], name: str, suite: str) -> None:
    result = shake_hands(contexts[name], client(maximum=V12, ciphers=suite + LEVEL_0))
    if suite in SUITES[name]:
        assert result.server_error is None
        cipher = result.server.cipher()
        assert cipher is not None
        assert cipher[0] == suite
    else:
        assert result.server_error is not None
        assert result.server_error.reason == "NO_SHARED_CIPHER"


@pytest.mark.parametrize("name", [name for name, versions in VERSIONS.items() if V13 in versions])
def test_tls_1_3_is_preferred(contexts: dict[str, ServerContext], name: str) -> None:
    assert shake_hands(contexts[name], client()).server.version() == "TLSv1.3"


@pytest.mark.parametrize("name", PROFILES)
def test_the_gateway_s_order_decides(contexts: dict[str, ServerContext], name: str) -> None:
    profile = PROFILES[name]
    backwards = ":".join(reversed(profile.cipher_suites))
    cipher = shake_hands(contexts[name], client(maximum=V12, ciphers=backwards + LEVEL_0)).server.cipher()
    assert cipher is not None
    assert cipher[0] == profile.cipher_suites[0]


@pytest.mark.parametrize("name", PROFILES)
def test_p256_works_because_dcmtk_has_no_x25519(contexts: dict[str, ServerContext], name: str) -> None:
    old = client(maximum=V12, ciphers="ALL" + LEVEL_0)
    old.set_ecdh_curve("prime256v1")
    assert shake_hands(contexts[name], old).server_error is None


@pytest.mark.parametrize("name", PROFILES)
def test_the_options_of_every_profile(contexts: dict[str, ServerContext], name: str) -> None:
    context = contexts[name].ssl
    for option in (
        ssl.OP_NO_RENEGOTIATION,
        ssl.OP_NO_COMPRESSION,
        ssl.OP_NO_TICKET,
        ssl.OP_CIPHER_SERVER_PREFERENCE,
        ssl.OP_NO_SSLv3,
    ):
        assert context.options & option
    assert context.num_tickets == 0
    assert context.security_level == PROFILES[name].security_level


def test_the_key_log_of_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", "/nowhere/keys")
    assert ServerContext(server_settings()).ssl.keylog_filename is None


def test_suites_that_openssl_has_dropped_are_named() -> None:
    assert missing_suites(DEFAULT_PROFILE) == []
    assert missing_suites(PROFILES["bcp195-extended"]) == []
    # Python 3.11 cannot choose TLS 1.3 suites, and Debian's OpenSSL has no 3DES.
    assert set(missing_suites(PROFILES["bcp195-rfc8996-modified"])) <= {
        "TLS_AES_128_CCM_SHA256",
        "TLS_AES_128_CCM_8_SHA256",
    }
    assert set(missing_suites(PROFILES["legacy-aes"])) <= {"DES-CBC3-SHA"}


def test_the_dh_group_is_ffdhe2048() -> None:
    # RFC 7919 A.1: p = 2^2048 - 2^1984 + {[2^1918 * e] + 560316} * 2^64 - 1, generator 2.
    bits = 2200
    e, term, divisor = 0, 1 << bits, 1
    while term:
        e += term
        term //= divisor
        divisor += 1
    prime = 2**2048 - 2**1984 + ((e >> (bits - 1918)) + 560316) * 2**64 - 1
    der = base64.b64decode(b"".join(_FFDHE2048.splitlines()[1:-1]))
    assert der == b"\x30\x82\x01\x08\x02\x82\x01\x01" + prime.to_bytes(257, "big") + b"\x02\x01\x02"


def test_every_profile_that_can_be_configured_exists() -> None:
    assert list(PROFILES) == list(get_args(ProfileName))


CODES = {  # IANA registry of TLS cipher suites
    "ECDHE-RSA-AES128-GCM-SHA256": 0xC02F,
    "ECDHE-RSA-AES256-GCM-SHA384": 0xC030,
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
    "ECDHE-ECDSA-AES256-GCM-SHA384": 0xC02C,
    "DHE-RSA-AES128-GCM-SHA256": 0x009E,
    "DHE-RSA-AES256-GCM-SHA384": 0x009F,
    "ECDHE-ECDSA-AES128-CCM": 0xC0AC,
    "ECDHE-ECDSA-AES256-CCM": 0xC0AD,
    "ECDHE-ECDSA-AES128-CCM8": 0xC0AE,
    "ECDHE-ECDSA-AES256-CCM8": 0xC0AF,
    "ECDHE-RSA-CHACHA20-POLY1305": 0xCCA8,
    "ECDHE-ECDSA-CHACHA20-POLY1305": 0xCCA9,
    "AES128-SHA": 0x002F,
    "DES-CBC3-SHA": 0x000A,
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
    "TLS_AES_128_CCM_SHA256": 0x1304,
    "TLS_AES_128_CCM_8_SHA256": 0x1305,
}


def test_the_code_of_every_suite_of_the_profiles() -> None:
    suites = {name for profile in PROFILES.values() for name in (*profile.cipher_suites, *profile.tls13_suites)}
    assert {name: suite_code(name) for name in suites} == CODES


def test_suites_in_words() -> None:
    assert describe_suites([0x002F, 0x00FF, 0x5600, 0xABCD]) == "TLS_RSA_WITH_AES_128_CBC_SHA (002F), unknown (ABCD)"
    assert describe_suites([0x002F] * 5, most=1) == "TLS_RSA_WITH_AES_128_CBC_SHA (002F), 4 more"
    assert describe_suites([0x00FF]) == "none"


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_one_kind_of_certificate_serves_its_suites_alone(kind: str) -> None:
    single = ServerContext(server_settings(certificates=[certs.server("pacs", certs.ca(), kind=kind)]))
    served = {
        suite
        for suite in ECDHE_RSA | ECDHE_ECDSA
        if shake_hands(single, client(maximum=V12, ciphers=suite + LEVEL_0)).server_error is None
    }
    assert served == (ECDHE_ECDSA if kind == "p256" else ECDHE_RSA)
