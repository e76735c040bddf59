"""Rows 5 to 9: TLS versions, cipher suites and groups (PS3.15 B.9 to B.13, RFC 9325)."""

import subprocess

import pytest

from tests.bad_inputs.case import Case
from tests.bad_inputs.hellos import P256, P521, X448, answer, key_share, offer_12, offer_13
from tests.bad_inputs.hostile import OPEN, client
from tests.support import client_hellos
from tests.support.processes import clean_environment

FALLBACK_SCSV = 0x5600  # RFC 7507
UNKNOWN_GROUP = 0x7777


@pytest.mark.parametrize("listener", ["tls", "modified", "dhe"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_row_005_old_tls(case: Case, version: str, listener: str) -> None:
    peer = case.tls_peer(listener, context=client(version=version))
    assert peer.refused_by_alert() == "protocol_version"
    case.refused(peer, "tls_version")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_row_005_old_tls_where_the_legacy_profile_allows_it(case: Case, version: str) -> None:
    peer = case.associated(listener="legacy", context=client(version=version))
    assert peer.tls.version() == f"TLSv{version}".removesuffix(".0")
    case.released(peer)


@pytest.mark.parametrize("listener", ["tls", "modified"])
@pytest.mark.parametrize(
    "suites",
    [
        pytest.param((0x002F, 0x0035, 0x009C, 0x009D), id="RSA key exchange"),
        pytest.param((0xC013, 0xC014, 0xC009, 0xC00A), id="CBC-SHA1"),
        pytest.param((0xC027, 0xC023), id="CBC-SHA256"),
        pytest.param((0x000A, 0xC012, 0x0016), id="3DES"),
        pytest.param((0x0002, 0x003B, 0xC010, 0xC006), id="NULL"),
        pytest.param((0x0034, 0x006C, 0x00A6, 0xC018), id="anonymous"),
        pytest.param((0x0003, 0x0008, 0x0014), id="EXPORT"),
        pytest.param((0x0004, 0x0005, 0xC011), id="RC4"),
        pytest.param((0x009E, 0x009F), id="DHE"),
        pytest.param((0xFFFE,), id="unknown"),
    ],
)
def test_row_006_suites_that_no_live_profile_has(case: Case, suites: tuple[int, ...], listener: str) -> None:
    assert answer(case, offer_12(*suites), "tls_no_shared_cipher", listener) == "handshake_failure"


@pytest.mark.parametrize(("version", "spoken"), [("1.3", "TLSv1.3"), ("1.2", "TLSv1.2"), ("", "TLSv1.3")])
def test_row_007_each_live_version_and_1_3_preferred(case: Case, version: str, spoken: str) -> None:
    peer = case.associated(context=client(version=version))
    assert peer.tls.version() == spoken
    case.released(peer)


@pytest.mark.parametrize(
    "hello",
    [offer_12(group_codes=[UNKNOWN_GROUP]), offer_13(share=key_share(UNKNOWN_GROUP), group_codes=[UNKNOWN_GROUP])],
)
def test_row_008_unknown_groups_only(case: Case, hello: bytes) -> None:
    assert answer(case, hello, "tls_no_shared_cipher") == "handshake_failure"


@pytest.mark.parametrize("group", [X448, P521, P256])
def test_row_008_one_odd_group_only(case: Case, group: int) -> None:
    """With or without support in OpenSSL the client gets an answer, never a hang."""
    assert answer(case, offer_12(group_codes=[group]), "tls_no_shared_cipher") in ("", "handshake_failure")


def s_client(case: Case, address: str, *options: str, stdin: str = "", listener: str = "tls") -> str:
    """Run `openssl s_client` against a listener; return its output."""
    port = case.bed.ports[listener]
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-bind", f"{address}:0", "-servername", OPEN]
    ended = subprocess.run(
        [*command, *options], input=stdin, capture_output=True, text=True, timeout=20, env=clean_environment()
    )
    return ended.stdout + ended.stderr


@pytest.mark.peers
def test_row_008_dhe_has_2048_bits(case: Case) -> None:
    """PS3.15 B.10: DHE suites, never below 2048 bits; a client that asks for less gets what the profile has."""
    address = case.bed.address()
    said = s_client(case, address, "-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0", listener="dhe")
    assert "Server Temp Key: DH, 2048 bits" in said, said
    case.refused(address, "requestor_gone")


def test_row_009_downgrade_by_fallback(case: Case) -> None:
    assert answer(case, offer_12(0xC02F, 0xC02B, FALLBACK_SCSV), "tls_version") == "inappropriate_fallback"


def test_row_009_downgrade_sentinel(case: Case) -> None:
    """RFC 8446 4.1.3: the ServerHello for TLS 1.2 shows a client with 1.3 that its offer was cut down."""
    peer = case.peer("tls")
    peer.send(client_hellos.records(offer_12()))
    while len(peer.plain) < 43:
        assert peer.receive()
    assert bytes(peer.plain[35:43]) == b"DOWNGRD\x01"
    peer.close()
    case.refused(peer, "requestor_gone")
