"""Rows 20 to 24: the issuers of client certificates."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.bad_inputs.case import Case
from tests.bad_inputs.certificate_cases import DAY, accepted, alerted, rejected, shows, valid
from tests.bad_inputs.configuration import Pki, bed_configuration
from tests.bad_inputs.hostile import client
from tests.support import certs, pdus
from tests.support.gateway import REPOSITORY
from tests.support.processes import clean_environment

CPU_PER_HANDSHAKE = 0.050  # seconds


def test_row_020_certificates_that_no_one_vouches_for(case: Case, pki: Pki) -> None:
    alerted(case, None, "certificate_required", "client_certificate_missing")
    expired = certs.leaf("CT1", pki.ca["a"], valid=valid(-2 * DAY, -DAY))
    alerted(case, expired, "certificate_expired", "client_certificate_expired")
    early = certs.leaf("CT1", pki.ca["a"], valid=valid(DAY, 2 * DAY))
    alerted(case, early, "bad_certificate", "client_certificate_not_yet_valid")
    alerted(case, certs.self_signed("CT1", ca_flag=None), "unknown_ca", "client_certificate_untrusted")
    alerted(case, certs.leaf("CT1", certs.ca("Unknown")), "unknown_ca", "client_certificate_untrusted")
    forged = certs.leaf("CT1", certs.ca("CA a", slot="forged"))
    alerted(case, forged, "unknown_ca", "client_certificate_untrusted")


@pytest.mark.parametrize("usage", [(certs.SERVER,), (certs.EMAIL,), (certs.SERVER, certs.EMAIL), (certs.ANY,)])
def test_row_021_certificate_for_another_usage(case: Case, pki: Pki, usage: tuple[x509.ObjectIdentifier, ...]) -> None:
    wrong = certs.leaf("USAGE", pki.ca["a"], eku=usage)
    alerted(case, wrong, "unsupported_certificate", "client_certificate_wrong_usage")


# (certs.ANY,) alone is refused (row 21): OpenSSL 3.0 does not count it as clientAuth, and Python's ssl cannot name
# another purpose.
@pytest.mark.parametrize("usage", [None, (certs.CLIENT,), (certs.CLIENT, certs.SERVER), (certs.CLIENT, certs.ANY)])
def test_row_021_certificate_for_this_usage(
    case: Case, pki: Pki, usage: tuple[x509.ObjectIdentifier, ...] | None
) -> None:
    accepted(case, certs.leaf("USAGE", pki.ca["a"], eku=usage))


def test_row_022_revocation_lists(case: Case, pki: Pki) -> None:
    """A certificate is looked up only in the list of its own issuer; lists of other issuers do not matter."""
    rejected(case, pki.revoked, "client_certificate_revoked", "crl")
    accepted(case, certs.leaf("GOOD", pki.ca["a"]), "crl")
    accepted(case, certs.leaf("UNLISTED", pki.ca["c"]), "crl")
    rejected(case, certs.leaf("STALE", pki.ca["d"]), "client_certificate_crl_stale", "crl")


@pytest.mark.parametrize("damage", ["truncated", "of another CA", "forged", "not a CRL"])
def test_row_022_revocation_list_that_proves_nothing_at_start(pki: Pki, tmp_path: Path, damage: str) -> None:
    """The gateway does not start with such a list. A reload keeps the last good one (test_reload_rows_018_022.py)."""
    lists = {
        "truncated": certs.crl(pki.ca["a"])[:-60],
        "of another CA": certs.crl(pki.ca["b"]),
        "forged": certs.crl(pki.ca["a"], signed_by=pki.ca["b"]),
        "not a CRL": pki.ca["a"].pem,
    }
    (tmp_path / "bad.pem").write_bytes(lists[damage])
    config = bed_configuration(pki, 11112)
    config["tenants"]["crl"]["tls"]["client_auth"]["crl"] = [str(tmp_path / "bad.pem")]
    ended = start_and_end(tmp_path, config)
    assert ended.returncode == 2 and "bad.pem" in ended.stderr, ended.stderr


def start_and_end(folder: Path, config: dict[str, object]) -> "subprocess.CompletedProcess[str]":
    """Run `dicomgate run` with a configuration that it must refuse."""
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))
    command = [sys.executable, "-m", "proxy.cli", "run", "--config", str(path)]
    environment = clean_environment({"PYTHONPATH": str(REPOSITORY)})
    return subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=folder, env=environment)


def chain_of(length: int, root: certs.Issued) -> certs.Issued:
    """A leaf so many certificates below the root, itself counted."""
    issuer = root
    for depth in range(length - 1):
        issuer = certs.ca(f"Intermediate {depth}", issuer=issuer)
    return certs.leaf("DEEP", issuer)


def cpu_bound(case: Case, before: float, handshakes: int) -> None:
    assert case.bed.cpu_seconds() - before < handshakes * CPU_PER_HANDSHAKE


@pytest.mark.parametrize("length", [1, 5, 50])
def test_row_023_long_chain(case: Case, pki: Pki, length: int) -> None:
    certificate = chain_of(length, pki.ca["a"])
    before = case.bed.cpu_seconds()
    for _ in range(3):
        accepted(case, certificate)
    cpu_bound(case, before, 3)


@pytest.mark.parametrize("length", [110, 300])
def test_row_023_chain_beyond_any_limit(case: Case, pki: Pki, length: int) -> None:
    """More than OpenSSL's depth of 100, or its 100 KiB of certificates."""
    certificate = chain_of(length, pki.ca["a"])
    before = case.bed.cpu_seconds()
    peer = shows(case, certificate)
    assert peer.refused_by_alert() in ("unknown_ca", "illegal_parameter", "handshake_failure")
    case.refused(peer, case.record(peer)["reason"])
    cpu_bound(case, before, 1)


def test_row_023_certificate_of_100_kb(case: Case, pki: Pki) -> None:
    large = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(110_000))
    certificate = certs.leaf("LARGE", pki.ca["a"], extra=[(large, False)])
    case.rss_slack = 4 << 20
    before = case.bed.cpu_seconds()
    peer = shows(case, certificate)
    assert peer.refused_by_alert() == "illegal_parameter"
    case.refused(peer, "tls_failed")
    cpu_bound(case, before, 1)


def huge_rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """A working RSA key in a moment: its two factors are products of ordinary primes."""
    factors = [rsa.generate_private_key(65537, 2048).private_numbers() for _ in range(bits // 2048)]
    p, q, phi_p, phi_q = 1, 1, 1, 1
    for numbers in factors:
        p, phi_p = p * numbers.p, phi_p * (numbers.p - 1)
        q, phi_q = q * numbers.q, phi_q * (numbers.q - 1)
    d = pow(65537, -1, phi_p * phi_q)
    public = rsa.RSAPublicNumbers(65537, p * q)
    private = rsa.RSAPrivateNumbers(p, q, d, d % phi_p, d % phi_q, pow(q, -1, p), public)
    return private.private_key(unsafe_skip_rsa_key_validation=True)


def test_row_023_rsa_key_of_16384_bits(case: Case, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    key = huge_rsa_key(16_384)
    monkeypatch.setattr(certs, "key", lambda *_: key)
    certificate = certs.leaf("HUGE", pki.ca["a"])
    before = case.bed.cpu_seconds()
    accepted(case, certificate)
    cpu_bound(case, before, 1)


@pytest.mark.peers
def test_row_023_explicit_curve_parameters(case: Case, pki: Pki, tmp_path: Path) -> None:
    """A curve of the sender's own making: never trusted by what its parameters happen to be."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=tmp_path, env=clean_environment())

    (tmp_path / "ca.pem").write_bytes(pki.ca["a"].pem)
    (tmp_path / "ca.key").write_bytes(pki.ca["a"].key_pem)
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-param_enc", "explicit", "-out", "explicit.key")
    openssl("req", "-new", "-key", "explicit.key", "-subj", "/CN=EXPLICIT", "-out", "explicit.csr")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "99", "-days", "2")
    openssl("x509", "-req", "-in", "explicit.csr", *signed, "-out", "explicit.pem")
    context = client()
    context.load_cert_chain(tmp_path / "explicit.pem", tmp_path / "explicit.key")
    peer = case.tls_peer(server_name="closed.example.org", context=context)
    peer.handshake()
    peer.send(pdus.associate_rq(called=b"CLOSED".ljust(16), calling=b"ANYBODY".ljust(16)))
    assert peer.rest()[:1] in (b"", b"\x03")  # an alert, or an A-ASSOCIATE-RJ
    reason = case.record(peer)["reason"]
    assert reason.startswith("client_certificate_"), reason
    case.refused(peer, reason)


def test_row_024_leaf_that_is_a_ca(case: Case, pki: Pki) -> None:
    """A certificate of `openssl req -x509`: accepted when pinned, and only itself."""
    accepted(case, pki.devices["DEV1"], "pinned", "DEV1")
    rejected(case, pki.devices["DEV2"], "certificate_not_bound", "pinned", "DEV1")
    alerted(case, certs.self_signed("DEV3"), "unknown_ca", "client_certificate_untrusted", "pinned")
    alerted(case, pki.devices["DEV1"], "unknown_ca", "client_certificate_untrusted", "closed")


def test_row_024_certificate_issued_by_a_pinned_device(case: Case, pki: Pki) -> None:
    rejected(case, certs.leaf("DEV1", pki.devices["DEV1"]), "client_certificate_wrong_ca", "pinned", "DEV1")
    through = certs.leaf("DEV2", certs.ca("Below", issuer=pki.devices["DEV1"]))
    rejected(case, through, "client_certificate_wrong_ca", "pinned", "DEV2")


def test_row_024_limits_of_the_chain(case: Case, pki: Pki) -> None:
    short = certs.ca("Short", issuer=pki.ca["a"], pathlen=0)
    constraint = x509.NameConstraints([x509.DNSName("allowed.example.org")], None)
    narrow = certs.ca("Narrow", issuer=pki.ca["a"], extra=[(constraint, True)])
    not_a_ca = certs.leaf("Not a CA", pki.ca["a"])
    accepted(case, certs.leaf("INSIDE", narrow, dns=["ct.allowed.example.org"]))
    for wrong in (
        certs.leaf("TOO DEEP", certs.ca("Below short", issuer=short)),
        certs.leaf("OUTSIDE", narrow, dns=["evil.example.org"]),
        certs.leaf("ISSUED BY A LEAF", not_a_ca),
    ):
        peer = shows(case, wrong)
        assert peer.refused_by_alert()
        case.refused(peer, "client_certificate_untrusted")
