"""Two clinics share a PACS, and both have a scanner called CT1: the PACS can tell them apart."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import dcmtk
from tests.support.dicomfiles import write_ct
from tests.support.gateway import Gateway, configuration
from tests.support.orthanc import orthanc
from tests.support.ports import free_port
from tests.support.site import Site

pytestmark = pytest.mark.peers

CLINICS = ("A", "B")


def test_the_pacs_sees_each_by_a_title_of_its_own(
    site: Site, start_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    with orthanc(tmp_path / "orthanc", verbose=True) as pacs:
        port = free_port()
        tenants = {
            clinic: {
                "called_aets": [f"{clinic}_PACS"],
                "upstream": "pacs",
                "rewrite": {"called_aet": "ORTHANC"},
                "peers": [{"aet": "CT1", "allow": ["modality"], "rewrite": {"calling_aet": f"{clinic}_CT1"}}],
            }
            for clinic in CLINICS
        }
        listener = {**site.listener(port), "tenants": list(CLINICS)}
        gateway = start_gateway(configuration({"dicom-tls": listener}, tenants, {"pacs": pacs.port}))
        for clinic in CLINICS:
            write_ct(tmp_path / f"{clinic}.dcm", 4096)
            result = dcmtk.storescu(port, tmp_path / f"{clinic}.dcm", dcmtk.tls(), called=f"{clinic}_PACS")
            assert result.code == 0, result.text
            record = gateway.wait_for_record(lambda record, clinic=clinic: record["tenant"] == clinic)
            assert (record["calling_aet"], record["called_aet"]) == ("CT1", f"{clinic}_PACS")
            assert record["forwarded"] == {"calling_aet": f"{clinic}_CT1", "called_aet": "ORTHANC"}
            assert gateway.metric("instances_stored_total", tenant=clinic) == 1
        remote = [pacs.remote_title(instance) for instance in pacs.instances()]
    assert sorted(remote) == ["A_CT1", "B_CT1"]
    told = [line for line in (*pacs.child.errors, *pacs.child.output) if "Association Received from AET" in line]
    assert [line.partition("from AET ")[2].split()[0] for line in told] == ["A_CT1", "B_CT1"], told
