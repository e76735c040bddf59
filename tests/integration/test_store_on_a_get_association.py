"""A peer that may retrieve but not store: its C-STOREs of 100 MiB are refused one by one, and its C-ECHOs answered."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import build_context, build_role
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet, Verification

from tests.support import scu
from tests.support.client import client_context
from tests.support.gateway import Gateway
from tests.support.orthanc import orthanc
from tests.support.site import HOST, Site, port_of

pytestmark = [pytest.mark.peers, pytest.mark.slow]

SIZE = 100 << 20
NOT_AUTHORIZED = 0x0124
MAY_GROW_KIB = 4 * 1024  # a hundredth of the sent bytes: buffers, arenas


def image() -> Dataset:
    instance = Dataset()
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance.SOPClassUID, instance.SOPInstanceUID = CTImageStorage, "1.2.826.0.1.3680043.10.1337.7"
    instance.PixelData = bytes(SIZE)
    instance["PixelData"].VR = "OW"
    return instance


def in_one_pdu(self: DIMSEMessage, context_id: int, max_pdu_length: int) -> Iterator[P_DATA]:
    """Command and data set as two PDVs of one P-DATA-TF, as PS3.8 annex E allows."""
    whole = P_DATA()
    for part in _in_many_pdus(self, context_id, 0):
        whole.presentation_data_value_list.extend(part.presentation_data_value_list)
    yield whole


_in_many_pdus = DIMSEMessage.encode_msg


class Peak(threading.Thread):
    """A thread that records the maximum resident memory (KiB) of the gateway."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(daemon=True)
        self._gateway = gateway
        self._ended = threading.Event()
        self.kib = 0

    def run(self) -> None:
        while not self._ended.wait(0.02):
            self.kib = max(self.kib, self._gateway.rss_kib())

    def end(self) -> int:
        self._ended.set()
        self.join()
        return self.kib


def test_stores_are_refused_between_echoes(
    site: Site, start_gateway: Callable[..., Gateway], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts = [
        build_context(Verification),
        build_context(StudyRootQueryRetrieveInformationModelGet),
        build_context(CTImageStorage, ExplicitVRLittleEndian),
    ]
    roles = [build_role(CTImageStorage, scu_role=True, scp_role=True)]
    instance = image()
    with orthanc(tmp_path / "orthanc", DicomAlwaysAllowGet=True) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port, peers=[{"aet": "VIEWER", "allow": ["echo", "get"]}]))
        tls = (client_context(site.path("ca.pem")), HOST)
        with scu.association(port_of(gateway.config), contexts, tls, calling="VIEWER", roles=roles) as association:
            assert association.is_established and not association.rejected_contexts
            assert association.send_c_echo().Status == 0
            before = gateway.rss_kib()
            peak = Peak(gateway)
            peak.start()
            for encode in (_in_many_pdus, in_one_pdu):
                monkeypatch.setattr(DIMSEMessage, "encode_msg", encode)
                assert association.send_c_store(instance).Status == NOT_AUTHORIZED
                monkeypatch.setattr(DIMSEMessage, "encode_msg", _in_many_pdus)
                assert association.send_c_echo().Status == 0
            grown = peak.end() - before
        record = gateway.wait_for_record()
        assert pacs.instances() == []
    assert grown < MAY_GROW_KIB, f"{grown} KiB"
    assert (record["ended"], record["peer"]) == ("released", "VIEWER")
    assert record["bytes_in"] > 2 * SIZE
    assert record["dimse"]["C-ECHO"].pop("seconds") > 0
    assert record["dimse"] == {
        "C-ECHO": {"n": 3, "ok": 3, "warn": 0, "fail": 0, "refused": 0},
        "C-STORE": {"n": 0, "ok": 0, "warn": 0, "fail": 0, "refused": 2},
    }
    what = f"C-STORE from the requestor on a presentation context of {CTImageStorage}"
    assert record["refused_operations"] == [what]
    [event] = [line for line in gateway.events if line["event"] == "operation_refused"]
    assert (event["id"], event["reason"], event["detail"]) == (record["id"], "operation_not_allowed", what)
    assert gateway.metric("sent_bytes_total", side="upstream") < 4096
    refused = {"operation": "c_store", "reason": "operation_not_allowed", "decision": "refuse", "tenant": "hospital"}
    assert gateway.metric("dimse_refusals_total", **refused) == 2
    assert gateway.metric("dimse_messages_total", operation="c_store") == 0
    assert gateway.metric("dimse_responses_total", operation="c_echo", status_class="success") == 3
    assert gateway.metric("instances_stored_total") == gateway.metric("instance_size_bytes_count") == 0
