"""The certificates of the dev PKI are accepted by the verifiers and key stores that devices really have."""

import datetime
import shutil
import subprocess
from pathlib import Path

import pytest

from proxy.pki.authority import Pki
from proxy.pki.issuing import Names
from tests.support.listening import need, server
from tests.support.ports import free_port

pytestmark = pytest.mark.peers

NOW = datetime.datetime.now(datetime.UTC)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    need(str(command[0]))
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)


@pytest.fixture(params=["ec", "rsa"])
def authority(request: pytest.FixtureRequest, tmp_path: Path) -> Pki:
    authority = Pki.create(tmp_path / "pki", "Example", NOW, key_type=request.param)
    authority.issue("pacs", Names(dns=("pacs.example.org",)), NOW, usage=("server",), key_type=request.param)
    authority.issue("CT1", Names(dns=("ct1.example.org",)), NOW, key_type=request.param, password="geheim")
    return authority


@pytest.mark.parametrize(
    ("name", "purpose", "other"), [("pacs", "sslserver", "sslclient"), ("CT1", "sslclient", "sslserver")]
)
def test_openssl_verifies_strictly_and_by_purpose(authority: Pki, name: str, purpose: str, other: str) -> None:
    folder = authority.folder
    chain = folder / "issued" / name / "chain.pem"
    strict = ["openssl", "verify", "-x509_strict", "-crl_check", "-CRLfile", authority.crl]
    trust = ["-CAfile", folder / "root.pem", "-untrusted", chain]
    good = run(*strict, "-purpose", purpose, *trust, chain)
    assert (good.returncode, good.stderr) == (0, "")
    wrong = run(*strict, "-purpose", other, *trust, chain)
    assert "unsuitable certificate purpose" in wrong.stderr
    leaf_alone = run(
        "openssl", "verify", "-x509_strict", "-CAfile", authority.ca, folder / "issued" / name / "cert.pem"
    )
    assert leaf_alone.returncode == 0  # DCMTK 3.6.7 sends no intermediate
    authority.revoke(name, NOW)
    retired = next((folder / "retired").iterdir()) / "chain.pem"
    revoked = run(*strict, "-CAfile", folder / "root.pem", "-untrusted", retired, retired)
    assert "certificate revoked" in revoked.stderr


def test_gnutls_verifies_chain_and_crl(authority: Pki) -> None:
    chain = authority.folder / "issued" / "CT1" / "chain.pem"
    root = authority.folder / "root.pem"
    good = run("certtool", "--verify", "--load-ca-certificate", root, "--load-crl", authority.crl, "--infile", chain)
    assert good.returncode == 0, good.stdout + good.stderr
    crl = run(
        "certtool",
        "--verify-crl",
        "--load-ca-certificate",
        authority.folder / "intermediate.pem",
        "--infile",
        authority.crl,
    )
    assert "Verified" in crl.stdout + crl.stderr
    authority.revoke("CT1", NOW)
    retired = next((authority.folder / "retired").iterdir()) / "chain.pem"
    revoked = run(
        "certtool", "--verify", "--load-ca-certificate", root, "--load-crl", authority.crl, "--infile", retired
    )
    assert "revoked" in revoked.stdout + revoked.stderr


@pytest.mark.parametrize("legacy", [False, True])
def test_java_openssl_and_gnutls_read_the_bundle(authority: Pki, legacy: bool) -> None:
    names = Names(dns=("mr1.example.org",))
    bundle = authority.issue("MR1", names, NOW, password="geheim", legacy_bundle=legacy).bundle
    assert bundle is not None
    openssl = run("openssl", "pkcs12", "-in", bundle, "-passin", "pass:geheim", "-nodes")
    assert (openssl.returncode, openssl.stdout.count("BEGIN CERTIFICATE")) == (0, 3)
    assert "BEGIN PRIVATE KEY" in openssl.stdout
    gnutls = run("certtool", "--p12-info", "--inder", "--password", "geheim", "--infile", bundle)
    assert "BEGIN CERTIFICATE" in gnutls.stdout
    if shutil.which("keytool") is None:
        return  # Java is none of the peers that a test machine must have
    java = run("keytool", "-list", "-keystore", bundle, "-storetype", "PKCS12", "-storepass", "geheim")
    assert "mr1, " in java.stdout
    assert "PrivateKeyEntry" in java.stdout


@pytest.mark.parametrize("sent", ["cert.pem", "chain.pem"])
def test_dcmtk_proves_itself_to_dcmtk(authority: Pki, sent: str) -> None:
    """DCMTK 3.6.7 on both ends, each requiring the other's certificate."""
    pacs, ct1 = authority.folder / "issued" / "pacs", authority.folder / "issued" / "CT1"
    port = free_port()
    scp = ["storescp", "--ignore", "+tls", pacs / "key.pem", pacs / sent, "+cf", authority.ca, str(port)]
    with server(*scp, port=port):
        echo = run("echoscu", "+tls", ct1 / "key.pem", ct1 / sent, "+cf", authority.ca, "127.0.0.1", str(port))
    assert (echo.returncode, echo.stderr) == (0, "")
