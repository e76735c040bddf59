"""Orthanc's own recipe: each modality has a self-signed certificate of `openssl req -x509`, which is pinned.

Such a certificate says CA:TRUE. It is valid for its modality, and not for certificates that it has signed.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.pdu import encode_associate_rj
from tests.support import dcmtk
from tests.support.client import client_context, connect, request
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, mirror
from tests.support.site import Site, port_of

pytestmark = pytest.mark.peers

MODALITIES = ("CT1", "MR1", "US1")


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *(str(part) for part in arguments)], check=True, capture_output=True, timeout=60)


def recipe(folder: Path, name: str) -> None:
    """The Orthanc Book, `Configuring DICOM TLS`."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    made = ("-nodes", "-days", "365", "-newkey", "rsa:2048", "-subj", f"/C=BE/CN={name}")
    openssl("req", "-x509", *made, "-keyout", key, "-out", certificate)


def forge(folder: Path, issuer: str, subject: str) -> Path:
    """A certificate for `subject` that the modality `issuer` has issued, with its key and followed by its issuer."""
    key, csr, certificate = (folder / f"forged.{suffix}" for suffix in ("key", "csr", "pem"))
    openssl("req", "-nodes", "-newkey", "rsa:2048", "-subj", f"/C=BE/CN={subject}", "-keyout", key, "-out", csr)
    signed_by = ("-CA", folder / f"{issuer}.pem", "-CAkey", folder / f"{issuer}.key", "-CAcreateserial")
    openssl("x509", "-req", "-in", csr, *signed_by, "-days", "30", "-out", certificate)
    return certificate


@pytest.fixture
def pinned(site: Site) -> list[dict[str, object]]:
    """The peers: each title with its own certificate."""
    for name in (*MODALITIES, "STRANGER"):
        recipe(site.folder, name)
    return [{"aet": name, "cert": {"file": [str(site.path(f"{name}.pem"))]}, "allow": ["all"]} for name in MODALITIES]


@pytest.mark.parametrize("mode", ["optional", "required"])
def test_three_modalities(
    mode: str, site: Site, pinned: list[dict[str, object]], start_gateway: Callable[..., Gateway]
) -> None:
    with Pacs(mirror) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port, peers=pinned, tls={"client_auth": {"mode": mode}}))
        port = port_of(gateway.config)
        for name in MODALITIES:
            pair = (site.path(f"{name}.pem"), site.path(f"{name}.key"))
            with connect(port, client_context(certificate=pair)) as wire:
                wire.send(request(calling=name))
                assert wire.receive_pdu()[0] == 2, name
        # The certificate of one under the title of another.
        result = dcmtk.echoscu(port, dcmtk.tls(site, client="CT1"), calling="MR1")
        assert dcmtk.CALLING_UNKNOWN in result.text
        assert gateway.wait_for_record(lambda r: r["decision"] == "refused")["reason"] == "certificate_not_bound"
        assert pacs.dials == len(MODALITIES)
        assert dcmtk.echoscu(port, dcmtk.tls(site, client="STRANGER")).code != 0
        gateway.wait_for_record(lambda r: r["reason"] == "client_certificate_untrusted")


@pytest.mark.parametrize("chain", [False, True], ids=["leaf alone", "with its issuer"])
@pytest.mark.parametrize("mode", ["optional", "required"])
def test_a_modality_is_no_authority(
    chain: bool, mode: str, site: Site, pinned: list[dict[str, object]], start_gateway: Callable[..., Gateway]
) -> None:
    with Pacs(mirror) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port, peers=pinned, tls={"client_auth": {"mode": mode}}))
        forged = forge(site.folder, "CT1", "MR1")
        if chain:
            forged.write_bytes(forged.read_bytes() + site.path("CT1.pem").read_bytes())
        for calling in ("MR1", "CT1"):
            since = gateway.mark()
            with connect(
                port_of(gateway.config), client_context(certificate=(forged, site.path("forged.key")))
            ) as wire:
                wire.send(request(calling=calling))
                assert wire.receive_pdu() == encode_associate_rj(1, 1, 3)
            record = gateway.wait_for_record(since=since)
            assert record["reason"] == "client_certificate_wrong_ca"
        assert pacs.dials == 0
        assert dcmtk.echoscu(port_of(gateway.config), dcmtk.tls(site, client="forged"), calling="MR1").code != 0
