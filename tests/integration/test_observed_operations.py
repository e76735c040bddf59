"""A tenant under observation: operations beyond the entries pass, and are recorded as ones that would be refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import CTImageStorage, Verification

from tests.support import dcmtk, scu
from tests.support.client import client_context
from tests.support.dicomfiles import STUDY, write_ct
from tests.support.gateway import Gateway
from tests.support.orthanc import orthanc
from tests.support.ports import free_port
from tests.support.site import HOST, Site, port_of

pytestmark = pytest.mark.peers

TENANT = {"tenant": "hospital"}


def observed(site: Site, upstream: int) -> dict[str, Any]:
    config = site.one_tenant(upstream, peers=[{"aet": "CT1", "allow": ["echo"]}, {"aet": "MOVER", "allow": ["move"]}])
    config["tenants"]["hospital"]["observe_until"] = "2100-01-01"
    config["listeners"]["plain"] = {
        "bind": [f"127.0.0.1:{free_port()}"],
        "tenants": ["hospital"],
        "networks": ["127.0.0.0/8"],
    }
    return config


def test_a_store_passes_and_is_counted(site: Site, start_gateway: Callable[..., Gateway], tmp_path: Path) -> None:
    with orthanc(tmp_path / "orthanc") as pacs:
        gateway = start_gateway(observed(site, pacs.port))
        port = port_of(gateway.config)
        write_ct(tmp_path / "image.dcm", 4096)
        image = pydicom.dcmread(tmp_path / "image.dcm")
        contexts = [build_context(Verification), build_context(CTImageStorage, image.file_meta.TransferSyntaxUID)]
        with scu.association(port, contexts, (client_context(site.path("ca.pem")), HOST)) as association:
            assert association.send_c_echo().Status == 0
            assert association.send_c_store(image).Status == 0
        record = gateway.wait_for_record()
        assert len(pacs.instances()) == 1
        assert (record["decision"], record["ended"]) == ("accepted", "released")
        assert record["would_refuse"] == ["operation_not_allowed"]
        assert "refused_operations" not in record
        what = f"C-STORE from the requestor on a presentation context of {CTImageStorage}"
        assert record["observed_operations"] == [what]
        assert record["dimse"]["C-STORE"].pop("seconds") > 0
        assert record["dimse"]["C-STORE"] == {"n": 1, "ok": 1, "warn": 0, "fail": 0, "refused": 0}
        assert (record["contexts"]["proposed"], record["contexts"]["kept"]) == (2, 2)

        # Nothing that storescu proposes would be left.
        mark = gateway.mark()
        result = dcmtk.storescu(port, tmp_path / "image.dcm", dcmtk.tls())
        assert result.code == 0, result.text
        record = gateway.wait_for_record(since=mark)
        assert record["would_refuse"] == ["no_permitted_context", "operation_not_allowed"]
        assert record["contexts"]["kept"] == record["contexts"]["proposed"] == 128

    of_store = {**TENANT, "operation": "c_store", "reason": "operation_not_allowed"}
    assert gateway.metric("dimse_refusals_total", **of_store, decision="would_refuse") == 2
    assert gateway.metric("dimse_refusals_total") == 2
    assert gateway.metric("dimse_messages_total", **TENANT, operation="c_store") == 2
    assert gateway.metric("instances_stored_total", **TENANT, sop_class="ct", status_class="success") == 2
    assert gateway.metric("policy_decisions_total", rule="no_permitted_context", decision="would_refuse") == 1
    assert gateway.metric("association_refusals_total") == 0
    assert not [line for line in gateway.events if line["event"] == "operation_refused"]


def test_a_move_passes_wherever_it_goes(site: Site, start_gateway: Callable[..., Gateway], tmp_path: Path) -> None:
    with dcmtk.storescp(tmp_path / "moved") as destination:
        moves = {"ELSEWHERE": ["ELSEWHERE", "127.0.0.1", destination.port]}
        with orthanc(tmp_path / "orthanc", DicomModalities=moves, DicomAlwaysAllowMove=True) as pacs:
            gateway = start_gateway(observed(site, pacs.port))
            write_ct(tmp_path / "image.dcm", 4096)
            assert dcmtk.storescu(pacs.port, tmp_path / "image.dcm").code == 0
            result = dcmtk.movescu(port_of(gateway.config, "plain"), STUDY, "ELSEWHERE", calling="MOVER")
            assert result.code == 0, result.text
            assert len(destination.stored) == 1
            record = gateway.wait_for_record()
    assert record["would_refuse"] == ["move_destination_not_allowed"]
    assert record["observed_operations"] == ["C-MOVE to 'ELSEWHERE'"]
    assert record["dimse"]["C-MOVE"]["ok"] == 1
    assert gateway.metric("dimse_refusals_total", operation="c_move", decision="would_refuse") == 1
