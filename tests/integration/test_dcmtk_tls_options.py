"""DCMTK 3.6.7 in all its TLS moods gets through: anonymous or with a certificate, verifying or not, every profile."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import certs, dcmtk
from tests.support.dcmtk import StoreScp
from tests.support.dicomfiles import write_ct
from tests.support.gateway import Gateway
from tests.support.processes import until
from tests.support.site import HOST, Site, port_of

pytestmark = pytest.mark.peers

#: DCMTK's option and the gateway's profile that is its match; both sides agree on an ECDHE-GCM suite or TLS 1.3.
PROFILES = {
    "+px": "bcp195-rfc8996",
    "+py": "bcp195-nondowngrading",
    "+pz": "bcp195-extended",
}


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[StoreScp]:
    with dcmtk.storescp(tmp_path / "stored") as server:
        yield server


def two_levels(site: Site) -> None:
    """Server and client certificates below an intermediate; clients trust the root alone."""
    intermediate = certs.ca("Site CA 2", issuer=site.root, kind=site.kind)
    site.pair("gate", certs.server(HOST, intermediate, kind=site.kind))
    # storescu 3.6.7 sends its own certificate alone, so the gateway must know the intermediate.
    (site.folder / "cas.pem").write_bytes(site.root.pem + intermediate.pem)
    site.pair("ct1", certs.leaf("CT1", intermediate, kind=site.kind))


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("verify", [True, False], ids=["-rc", "-ic"])
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_echo_and_store(
    levels: int, verify: bool, profile: str, kind: str, tmp_path: Path, pacs: StoreScp,
    start_gateway: Callable[..., Gateway],
) -> None:  # fmt: skip
    site = Site(tmp_path / "site", kind)
    (site.folder / "cas.pem").write_bytes(site.root.pem)
    if levels == 2:
        two_levels(site)
    # +px and +py have TLS 1.2 suites for RSA certificates alone: with ECDSA ones they get through by TLS 1.3.
    tls = {"profile": PROFILES[profile], "client_auth": {"mode": "optional", "ca": str(site.path("cas.pem"))}}
    gateway = start_gateway(site.one_tenant(pacs.port, tls=tls))
    write_ct(tmp_path / "image.dcm", 64 * 1024)
    ca = site.path("ca.pem") if verify else None
    for number, client in enumerate((None, "ct1")):
        options = dcmtk.tls(site, client=client, ca=ca, profile=profile)
        port, before = port_of(gateway.config), len(gateway.records)
        echo = dcmtk.echoscu(port, options)
        assert echo.code == 0 and "Received Echo Response (Success)" in echo.text, echo.text
        store = dcmtk.storescu(port, tmp_path / "image.dcm", options)
        assert store.code == 0 and "Received Store Response (Success)" in store.text, store.text
        until(lambda before=before: len(gateway.records) == before + 2, "both records are written")
        for record in gateway.records[before:]:
            assert record["ended"] == "released"
            assert ("client_cert" in record["tls"]) == (client is not None)
        assert len(pacs.stored) == 1
        assert gateway.metric("associations_total", outcome="accepted") == 2 * (number + 1)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_gets_through_the_default_one(
    profile: str, tmp_path: Path, pacs: StoreScp, start_gateway: Callable[..., Gateway]
) -> None:
    site = Site(tmp_path / "site", "rsa2048")
    gateway = start_gateway(site.one_tenant(pacs.port))
    result = dcmtk.echoscu(port_of(gateway.config), dcmtk.tls(ca=site.path("ca.pem"), profile=profile))
    assert result.code == 0, result.text
    assert gateway.wait_for_record()["tls"]["version"] == ("TLSv1.2" if profile == "+pz" else "TLSv1.3")


def test_required_certificate(site: Site, pacs: StoreScp, start_gateway: Callable[..., Gateway]) -> None:
    tls = {"client_auth": {"mode": "required", "ca": str(site.path("ca.pem"))}}
    gateway = start_gateway(site.one_tenant(pacs.port, tls=tls))
    port = port_of(gateway.config)
    assert dcmtk.echoscu(port, dcmtk.tls(site, client="ct1")).code == 0
    anonymous = dcmtk.echoscu(port, dcmtk.tls())
    assert anonymous.code != 0, anonymous.text
    record = gateway.wait_for_record(lambda record: record["decision"] == "refused")
    assert record["reason"] == "client_certificate_missing"


def test_the_tool_refuses_a_certificate_of_a_stranger(
    site: Site, pacs: StoreScp, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(certs.ca("Stranger").pem)
    gateway = start_gateway(site.one_tenant(pacs.port))
    result = dcmtk.echoscu(port_of(gateway.config), dcmtk.tls(ca=stranger))
    assert result.code != 0 and "certificate verify failed" in result.text, result.text
    assert gateway.wait_for_record()["reason"] == "tls_peer_alert"


def test_plain_dicom_on_the_tls_port(site: Site, pacs: StoreScp, start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway(site.one_tenant(pacs.port))
    result = dcmtk.echoscu(port_of(gateway.config))
    assert result.code != 0
    record = gateway.wait_for_record()
    assert record["reason"] == "not_tls" and "plain DICOM" in record["detail"]
