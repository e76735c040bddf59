"""C-MOVE and storage commitment: the PACS dials back in plain DICOM, the gateway goes on by TLS to the right site."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage, generate_uid

from tests.integration.workstation import Workstation, workstation
from tests.support import certs, dcmtk
from tests.support.dicomfiles import write_ct
from tests.support.gateway import Gateway, configuration
from tests.support.orthanc import Orthanc, orthanc
from tests.support.ports import free_port
from tests.support.site import Site

pytestmark = pytest.mark.peers

SITES = {"WS1": "ws1.site1.example.com", "WS7": "ws7.site7.example.com"}
_SUCCESSFUL = 1  # event type id: storage commitment request successful (PS3.4 Table J.3-4)


@pytest.fixture(scope="module")
def way_back() -> int:
    """The port of the hospital's gateway that the PACS sends to."""
    return free_port()


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory, way_back: int) -> Iterator[Orthanc]:
    modalities = {title.lower(): [title, "127.0.0.1", way_back] for title in SITES}
    options = {"DicomModalities": modalities, "DicomAlwaysAllowMove": True}
    with orthanc(tmp_path_factory.mktemp("orthanc"), aet="MAINPACS", **options) as server:
        yield server


@pytest.fixture
def stations() -> Iterator[dict[str, Workstation]]:
    with workstation("WS1") as one, workstation("WS7") as seven:
        yield {"WS1": one, "WS7": seven}


@pytest.fixture
def hospital(
    site: Site, pacs: Orthanc, way_back: int, stations: dict[str, Workstation], start_gateway: Callable[..., Gateway]
) -> tuple[Gateway, Gateway]:
    """The hospital's gateway, and one in front of the workstations of both sites, which demands its certificate."""
    for title, name in SITES.items():
        site.pair(title, certs.server(name, site.root))
    site.pair("pacs", certs.leaf("pacs", site.root))
    remote = start_gateway(_remote(site, {title: station.port for title, station in stations.items()}))
    address = remote.config["listeners"]["public"]["bind"][0]
    upstreams: dict[str, Any] = {
        title.lower(): {
            "servers": [{"address": address}],
            "tls": {**site.upstream_tls(client="pacs"), "server_name": name},
        }
        for title, name in SITES.items()
    }
    local = ["127.0.0.0/8"]
    listeners = {
        "from-sites": {"bind": [f"127.0.0.1:{free_port()}"], "networks": local, "tenants": ["pacs"]},
        "from-pacs": {"bind": [f"127.0.0.1:{way_back}"], "networks": local, "tenants": ["sites"]},
    }
    sites = {
        "called_aets": ["WS1"],
        "upstream": "ws1",
        "routes": {"WS7": "ws7"},
        "peers": [{"aet": "MAINPACS", "from": ["127.0.0.1"], "allow": ["echo", "store", "storage_commitment"]}],
    }
    viewers = [{"aet": ["WS1", "WS7"], "from": local, "allow": ["viewer", "storage_commitment"]}]
    into = {"called_aets": ["MAINPACS"], "upstream": "pacs", "peers": viewers}
    config = configuration(listeners, {"pacs": into, "sites": sites}, {**upstreams, "pacs": pacs.port})
    return start_gateway(config), remote


def _remote(site: Site, ports: dict[str, int]) -> dict[str, Any]:
    auth = {"mode": "required", "ca": str(site.path("ca.pem"))}
    listener = {
        "bind": [f"127.0.0.1:{free_port()}"],
        "tls": {"certificates": [site.certificate()], "client_auth": auth},
    }
    tenants = {
        title.lower(): {
            "server_names": [name],
            "called_aets": [title],
            "upstream": title.lower(),
            "peers": [{"aet": "MAINPACS", "allow": ["echo", "store", "storage_commitment"]}],
            "tls": {"certificates": [site.certificate(title)]},
        }
        for title, name in SITES.items()
    }
    return configuration({"public": listener}, tenants, {title.lower(): port for title, port in ports.items()})


def port_of(gateway: Gateway, listener: str) -> int:
    return int(gateway.config["listeners"][listener]["bind"][0].rpartition(":")[2])


@pytest.mark.parametrize("title", SITES)
def test_a_c_move_is_answered_at_the_site_that_asked(
    title: str, hospital: tuple[Gateway, Gateway], pacs: Orthanc, stations: dict[str, Workstation], tmp_path: Path
) -> None:
    local, remote = hospital
    uid = write_ct(tmp_path / "image.dcm", 64 * 1024)
    assert dcmtk.storescu(pacs.port, tmp_path / "image.dcm").code == 0
    level = ("-k", "QueryRetrieveLevel=IMAGE", "-k", f"SOPInstanceUID={uid}")
    titles = ("-aet", title, "-aec", "MAINPACS", "-aem", title)
    asked = dcmtk.run("movescu", "-v", "-S", *titles, *level, "127.0.0.1", str(port_of(local, "from-sites")))
    assert asked.code == 0, asked.text
    assert stations[title].stored.get(timeout=20) == uid
    assert all(station.stored.empty() for station in stations.values())
    back = local.wait_for_record(lambda record: record["listener"] == "from-pacs")
    assert (back["called_aet"], back["upstream"], back["ended"]) == (title, title.lower(), "released")
    assert back["upstream_tls"]["version"] == "TLSv1.3"
    there = remote.wait_for_record()
    assert (there["tenant"], there["sni"]) == (title.lower(), SITES[title])
    assert there["dimse"]["C-STORE"]["ok"] == 1


def test_a_commitment_is_reported_with_reversed_roles(
    hospital: tuple[Gateway, Gateway], pacs: Orthanc, stations: dict[str, Workstation], tmp_path: Path
) -> None:
    local, remote = hospital
    uid = write_ct(tmp_path / "image.dcm", 4096)
    assert dcmtk.storescu(pacs.port, tmp_path / "image.dcm").code == 0
    instance, request = Dataset(), Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = CTImageStorage, uid
    request.TransactionUID, request.ReferencedSOPSequence = generate_uid(), [instance]
    station = stations["WS7"]
    assert station.ask_for_commitment(port_of(local, "from-sites"), "MAINPACS", request) == 0
    event, report = station.reports.get(timeout=20)
    assert event == _SUCCESSFUL and report.TransactionUID == request.TransactionUID
    assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == [uid]
    back = local.wait_for_record(lambda record: record["listener"] == "from-pacs")
    there = remote.wait_for_record()
    for record in (back, there):
        assert (record["ended"], record["dimse"]["N-EVENT-REPORT"]["ok"]) == ("released", 1)
    assert there["tenant"] == "ws7"
