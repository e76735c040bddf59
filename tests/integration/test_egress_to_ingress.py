"""Two gateways back to back: plain in, mutual TLS with SNI between them, plain out (examples/egress.yaml)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import certs, dcmtk
from tests.support.dicomfiles import data_set_of, write_ct, write_series
from tests.support.gateway import Gateway, configuration
from tests.support.orthanc import Orthanc, orthanc
from tests.support.ports import free_port
from tests.support.site import Site

pytestmark = pytest.mark.peers

CLINIC, OTHER = "clinic-a.pacs.example.com", "clinic-b.pacs.example.com"
MODALITIES = [{"aet": "CT1", "from": ["127.0.0.1"], "allow": ["modality"]}]


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture
def site(site: Site) -> Site:
    """With a certificate of two clinics, and of two sites that have CAs of their own."""
    for name, dns in (("clinic-a", CLINIC), ("clinic-b", OTHER)):
        site.pair(name, certs.server(dns, site.root))
    for name in ("site-a", "site-b"):
        authority = certs.ca(name)
        site.path(f"{name}-ca.pem").write_bytes(authority.pem)
        site.pair(name, certs.leaf(name, authority, dns=[f"{name}.example.org"]))
    return site


def ingress(site: Site, pacs: Orthanc, **tls: Any) -> dict[str, Any]:
    """The clinic's gateway, which demands a certificate of site A."""
    auth = {"mode": "required", "ca": str(site.path("site-a-ca.pem"))}
    settings = {"certificates": [site.certificate("clinic-a")], "client_auth": auth, **tls}
    listener = {"bind": [f"127.0.0.1:{free_port()}"], "tls": settings, "unknown_sni": "match"}
    cert = {"san_dns": ["site-a.example.org"]}
    tenant = {
        "server_names": [CLINIC],
        "called_aets": ["CLOUDPACS"],
        "upstream": "pacs",
        "peers": [{"aet": "CT1", "cert": cert, "allow": ["modality"]}],
    }
    return configuration({"public": listener}, {"clinic-a": tenant}, {"pacs": pacs.port})


def egress(site: Site, to: Gateway, *, client: str = "site-a", name: str = CLINIC) -> dict[str, Any]:
    """The site's gateway, which the modalities speak to in plain DICOM."""
    address = to.config["listeners"]["public"]["bind"][0]
    upstream = {"servers": [{"address": address}], "tls": {**site.upstream_tls(client=client), "server_name": name}}
    listener = {"bind": [f"127.0.0.1:{free_port()}"], "networks": ["127.0.0.0/8"], "tenants": ["cloud"]}
    tenant = {"called_aets": ["CLOUDPACS"], "upstream": "cloud-pacs", "peers": MODALITIES}
    return configuration({"from-modalities": listener}, {"cloud": tenant}, {"cloud-pacs": upstream})


def send(gateway: Gateway, files: Path) -> dcmtk.Result:
    port = int(gateway.config["listeners"]["from-modalities"]["bind"][0].rpartition(":")[2])
    return dcmtk.storescu(port, files, called="CLOUDPACS")


def test_a_plain_storescu_reaches_a_plain_orthanc_by_mutual_tls(
    site: Site, pacs: Orthanc, start_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    series = write_series(tmp_path / "series", 20)
    inner = start_gateway(ingress(site, pacs))
    outer = start_gateway(egress(site, inner))
    result = send(outer, tmp_path / "series")
    assert result.code == 0, result.text
    assert pacs.sha256_by_uid(data_set_of).items() >= series.items()
    there, here = inner.wait_for_record(), outer.wait_for_record()
    assert (here["ended"], there["ended"]) == ("released", "released")
    assert there["sni"] == CLINIC and there["tls"]["client_cert"]["names"] == ["site-a.example.org"]
    assert here["upstream_tls"] == {key: there["tls"][key] for key in ("version", "cipher")}
    assert here["dimse"]["C-STORE"]["ok"] == there["dimse"]["C-STORE"]["ok"] == 20
    assert outer.metric("tls_handshakes_total", role="client", client_cert="given") == 1


def test_a_server_of_the_wrong_site_is_refused(
    site: Site, pacs: Orthanc, start_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    write_ct(tmp_path / "image.dcm", 4096)
    before = pacs.instances()
    inner = start_gateway(ingress(site, pacs, certificates=[site.certificate("clinic-b")]))
    outer = start_gateway(egress(site, inner))
    result = send(outer, tmp_path / "image.dcm")
    assert result.code != 0 and "Rejected Transient" in result.text, result.text
    here, there = outer.wait_for_record(), inner.wait_for_record()
    assert here["reason"] == "upstream_tls_failed" and f"not valid for '{CLINIC}'" in here["detail"]
    assert there["reason"] == "tls_peer_alert" and "it does not accept our certificate" in there["detail"]
    assert pacs.instances() == before


def test_a_client_certificate_of_the_wrong_site_is_refused(
    site: Site, pacs: Orthanc, start_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    write_ct(tmp_path / "image.dcm", 4096)
    before = pacs.instances()
    inner = start_gateway(ingress(site, pacs))
    outer = start_gateway(egress(site, inner, client="site-b"))
    result = send(outer, tmp_path / "image.dcm")
    assert result.code != 0 and "Rejected Transient" in result.text, result.text
    here, there = outer.wait_for_record(), inner.wait_for_record()
    assert here["reason"] == "upstream_tls_failed"
    assert "does not trust the CA of our certificate" in here["detail"]
    assert there["reason"] == "client_certificate_untrusted"
    assert pacs.instances() == before


def test_a_certificate_that_is_bound_to_another_title_is_refused_in_words_of_dicom(
    site: Site, pacs: Orthanc, start_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    write_ct(tmp_path / "image.dcm", 4096)
    twin = certs.leaf("twin", certs.ca("site-a"), dns=["twin.example.org"])
    site.pair("twin", twin)
    inner = start_gateway(ingress(site, pacs))
    outer = start_gateway(egress(site, inner, client="twin"))
    result = send(outer, tmp_path / "image.dcm")
    assert dcmtk.CALLING_UNKNOWN in result.text, result.text
    assert outer.wait_for_record()["reason"] == "upstream_rejected"
    assert inner.wait_for_record()["reason"] == "certificate_not_bound"
