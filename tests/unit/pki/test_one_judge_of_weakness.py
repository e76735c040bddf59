"""`pki inspect`, `check` and the live path give one answer to the same certificate (PS3.15 B.13)."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.pki.inspection import ShownCertificate, inspect
from proxy.policy import Reason
from proxy.tls.judging import CertificateJudge
from proxy.tls.trust import TrustStore
from tests.support import certs
from tests.support.configs import TLS, findings, write_pair
from tests.support.tls_pair import server_settings

ROOT, RSA_ROOT = certs.ca("Root"), certs.ca("RSA root", kind="rsa2048")
SERVER, DEVICE, PINNED = range(3)

#: (key, hash) of a certificate -> its weakness; "" for a strong one.
TABLE = {
    ("rsa1024", "sha256"): "RSA key of 1024 bits; at least 2048 are needed",
    ("rsa2047", "sha256"): "RSA key of 2047 bits; at least 2048 are needed",
    ("rsa2048", "sha256"): "",
    ("p192", "sha256"): "EC key of 192 bits; at least 256 are needed",
    ("p224", "sha256"): "EC key of 224 bits; at least 256 are needed",
    ("p256", "sha256"): "",
    ("p256", "sha224"): "",
    ("p256", "sha1"): "signed with SHA-1; SHA-2 is needed",
    ("p256", "md5"): "signed with MD5; SHA-2 is needed",
    ("rsa2048", "sha224"): "",
    ("rsa2048", "sha1"): "signed with SHA-1; SHA-2 is needed",
    ("p384", "sha256"): "",
    ("ed25519", "sha256"): "",
}
CASES = pytest.mark.parametrize(("kind", "digest"), TABLE, ids="-".join)


def issued(kind: str, digest: str) -> tuple[certs.Issued, certs.Issued]:
    """Return a certificate for both sides of a connection, and its CA."""
    root = ROOT if digest == "sha256" else RSA_ROOT
    valid = (certs.now() - certs.DAY, certs.now() + 90 * certs.DAY)
    leaf = certs.leaf("pacs", root, kind=kind, eku=(certs.SERVER, certs.CLIENT), dns=["pacs.example.org"], valid=valid)
    return (leaf if digest == "sha256" else certs.signed_with(leaf, digest)), root


def by_inspection(leaf: certs.Issued) -> ShownCertificate:
    [shown] = inspect(leaf.pem, certs.now())
    assert isinstance(shown, ShownCertificate)
    return shown


@CASES
def test_of_a_device_whose_ca_is_trusted(kind: str, digest: str) -> None:
    leaf, root = issued(kind, digest)
    judge = CertificateJudge(
        TrustStore(server_settings(mode="required", ca={"a": [root]}).client_auth), checks_strength=True
    )
    judged = judge.judge([leaf.der, root.der], certs.now().timestamp())
    why = TABLE[kind, digest]
    assert judged.problem is (Reason.CLIENT_CERTIFICATE_WEAK if why else None)
    assert judged.problem_detail == (f"CN=pacs: {why}" if why else "")
    use = by_inspection(leaf).uses[DEVICE]
    assert use.possible is not bool(why)
    assert not why or use.detail == why


@CASES
def test_of_a_pinned_device(tmp_path: Path, kind: str, digest: str) -> None:
    """The signature does not count: the certificate is trusted as itself."""
    leaf, _ = issued(kind, digest)
    why = "" if "signed" in TABLE[kind, digest] else TABLE[kind, digest]
    judge = CertificateJudge(
        TrustStore(server_settings(mode="required", pinned=[leaf]).client_auth), checks_strength=True
    )
    judged = judge.judge([leaf.der], certs.now().timestamp())
    assert judged.problem is (Reason.CLIENT_CERTIFICATE_WEAK if why else None)
    assert by_inspection(leaf).uses[PINNED].possible is not bool(why)
    write_pair(tmp_path, certs.leaf("pacs", ROOT, eku=(certs.SERVER,), dns=["pacs.example.org"]), "pacs")
    (tmp_path / "ct1.pem").write_bytes(leaf.pem)
    text = TLS.replace("from: [10.20.1.11]", "cert: {file: [ct1.pem]}")
    warned = [finding for finding in findings(tmp_path, text) if finding.startswith("W304 ")]
    assert [finding.endswith(f"CN=pacs will be refused: {why}") for finding in warned] == ([True] if why else [])


@CASES
def test_of_a_certificate_of_the_gateway(tmp_path: Path, kind: str, digest: str) -> None:
    leaf, _ = issued(kind, digest)
    write_pair(tmp_path, leaf, "pacs")
    why = TABLE[kind, digest]
    refused = [finding for finding in findings(tmp_path, TLS) if finding.startswith("E307 ")]
    assert [finding.endswith(f": pacs.pem: CN=pacs: {why}") for finding in refused] == ([True] if why else [])
    use = by_inspection(leaf).uses[SERVER]
    assert use.possible is not bool(why)
    assert not why or use.detail == why


def test_sha_224_with_an_elliptic_curve_is_accepted_everywhere() -> None:
    """`pki inspect` refused it, while `check` and the live path accepted it."""
    leaf = certs.leaf("CT1", ROOT)
    assert by_inspection(ecdsa_sha224(leaf)).uses[DEVICE].possible


def ecdsa_sha224(leaf: certs.Issued) -> certs.Issued:
    old = leaf.certificate
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), old.serial_number, old.not_valid_before_utc, old.not_valid_after_utc
    )
    assert isinstance(ROOT.key, ec.EllipticCurvePrivateKey)
    return certs.Issued(builder.sign(ROOT.key, hashes.SHA224()), leaf.key, ROOT)
