"""`dicomgate pki`: output, refused arguments, exit codes."""

import datetime
import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from proxy.cli.__main__ import main
from tests.support import certs


@pytest.fixture
def pki(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    assert main(["pki", "init", "--name", "Example"]) == 0
    assert "client_auth.ca of the gateway, and the trusted CA of the devices:  pki/ca.pem" in capsys.readouterr().out
    return tmp_path / "pki"


def test_issue_prints_the_peer_line_and_a_password_that_opens_the_bundle(pki: Path, capsys) -> None:
    assert main(["pki", "issue", "CT1", "--dns", "CT1.example.org", "--uri", "spiffe://example.org/ct/1"]) == 0
    out = capsys.readouterr().out
    san = 'san_dns: [ct1.example.org], san_uri: ["spiffe://example.org/ct/1"]'
    assert f"  - {{aet: CT1, cert: {{{san}}}, allow: [modality]}}\n" in out
    assert "client_auth.ca where it must be trusted:  pki/ca.pem\n" in out
    password = re.search(r"password: ([a-z2-9]{16})\n", out)
    assert password is not None
    assert pkcs12.load_pkcs12((pki / "issued/CT1/bundle.p12").read_bytes(), password[1].encode()).key is not None


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("AI_STORE", [], "{aet: AI_STORE, cert: {san_dns: [ai-store]}, allow: [modality]}"),
        ("WS 1", [], '{aet: "WS 1", cert: {san_dns: [ws-1]}, allow: [modality]}'),
        ("NULL", [], '{aet: "NULL", cert: {san_dns: ["null"]}, allow: [modality]}'),
        ("a-name-longer-than-16", [], "{aet: AE_TITLE, cert: {san_dns: [a-name-longer-than-16]}, allow: [modality]}"),
    ],
)
def test_names_are_made_and_quoted(pki: Path, capsys, name: str, options: list[str], line: str) -> None:
    assert main(["pki", "issue", name, *options]) == 0
    assert f"  - {line}\n" in capsys.readouterr().out


def test_a_certificate_with_addresses_only_is_bound_by_its_fingerprint(pki: Path, capsys) -> None:
    assert main(["pki", "issue", "CT1", "--ip", "10.0.0.1"]) == 0
    assert re.search(r"cert: \{sha256: \[[0-9a-f]{64}\]\}", capsys.readouterr().out)


def test_a_server_gets_the_line_for_tls_certificates(pki: Path, capsys) -> None:
    assert main(["pki", "issue", "pacs.example.org", "--server", "--rsa"]) == 0
    out = capsys.readouterr().out
    assert "  - {chain: pki/issued/pacs.example.org/chain.pem, key: {file: pki/issued/pacs.example.org/key.pem}}" in out
    assert "peers" not in out


def test_passwords_come_from_the_given_source(pki: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("P12", "from env")
    Path("word").write_text("from file\nrest")
    for name, source, password in [
        ("A1", "env:P12", b"from env"),
        ("A2", "file:word", b"from file"),
        ("A3", "pass:a:b", b"a:b"),
        ("A4", "none", None),
    ]:
        assert main(["pki", "issue", name, "--p12-password", source]) == 0
        assert pkcs12.load_pkcs12((pki / f"issued/{name}/bundle.p12").read_bytes(), password).key is not None
    assert "password" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["issue", "CT1", "--p12-password", "geheim"],
            "give one of random|prompt|none|pass:TEXT|env:NAME|file:PATH",
        ),
        (["issue", "CT1", "--p12-password", "env:NOT_THERE"], "the environment has no NOT_THERE"),
        (["issue", "CT1", "--p12-password", "pass:"], "the password is empty; for no password give"),
        (["issue", "CT1", "--p12-password", "file:nowhere"], "nowhere: No such file"),
        (["issue", "CT1", "--p12-password", "prompt"], "there is no terminal to prompt on"),
        (["issue", "CT1", "--dns", "a b"], "'a b' is not a DNS name"),
        (["issue", "+x+", "--dns", "x"], "cannot be the name"),
        (["issue", "CT+1"], "is not a DNS name; give a name with --dns, --uri or --ip"),
        (["issue", "CT1", "--csr", "nowhere"], "nowhere: No such file"),
        (["issue", "CT1", "--csr", "pki/ca.pem"], "not a certificate signing request"),
        (["issue", "CT1", "--dir", "elsewhere"], "no PKI in elsewhere; make one: dicomgate pki init --dir elsewhere"),
        (["revoke", "CT1"], "no certificate of that name or serial is in force"),
        (["init"], "pki exists and is not empty"),
        (["init", "--dir", "/proc/pki"], "/proc/"),
        (["inspect", "pki/root.key"], "pki/root.key: holds PRIVATE KEY and no certificate"),
        (["inspect", "pki"], "pki: Is a directory"),
        (["issue", "CT1", "--days", "0"], "--days"),
        (["frobnicate"], "No such command"),
    ],
)
def test_mistakes_are_reported_and_exit_2(pki: Path, capsys, arguments: list[str], words: str) -> None:
    assert main(["pki", *arguments]) == 2
    captured = capsys.readouterr()
    assert words in re.sub(r"\s*│?\n│?\s*", " ", captured.err)
    assert captured.out == ""
    assert list((pki / "issued").iterdir()) == []


def test_request_certificate_revocation_and_list_go_together(pki: Path, capsys) -> None:
    assert main(["pki", "csr", "MR1", "--dir", "device"]) == 0
    assert main(["pki", "issue", "MR1", "--csr", "device/requests/MR1/request.csr"]) == 0
    assert not (pki / "issued/MR1/key.pem").exists()
    assert main(["pki", "revoke", "MR1"]) == 0
    assert main(["pki", "crl", "--days", "7"]) == 0
    assert "pki/crl.pem: 1 revoked, next update " in capsys.readouterr().out


def test_inspect_in_words_and_as_json(pki: Path, capsys) -> None:
    assert main(["pki", "issue", "CT1"]) == 0
    capsys.readouterr()
    assert main(["pki", "inspect", "pki/issued/CT1/chain.pem"]) == 0
    out = capsys.readouterr().out
    assert "subject       CN=CT1\nissuer        CN=Example Issuing CA\nsan_dns       ct1\n" in out
    assert "  no          listeners.*.tls.certificates: its extendedKeyUsage does not allow server auth" in out
    assert "  yes         client_auth.ca\n" in out
    assert main(["pki", "inspect", "pki/issued/CT1/chain.pem", "--format", "json"]) == 0
    leaf, issuer = json.loads(capsys.readouterr().out)
    assert (leaf["type"], leaf["dns"], leaf["is_ca"], issuer["is_ca"]) == ("certificate", ["ct1"], False, True)
    assert leaf["uses"][1] == {"place": "sent by a device, matched by peers[].cert", "possible": True, "detail": ""}


def test_a_certificate_that_fits_nowhere_is_exit_code_1_and_its_names_are_escaped(tmp_path: Path, capsys) -> None:
    ended = (certs.now() - datetime.timedelta(days=9), certs.now() - certs.DAY)
    (tmp_path / "old.pem").write_bytes(certs.leaf("CT1\x1b[2J", certs.ca(), valid=ended).pem)
    assert main(["pki", "inspect", str(tmp_path / "old.pem")]) == 1
    out = capsys.readouterr().out
    assert "EXPIRED on " in out
    assert "\x1b" not in out
    assert r"CN=CT1\x1b[2J" in out
