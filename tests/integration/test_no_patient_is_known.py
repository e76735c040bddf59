"""No patient data gets from a data set into the log, the metrics, `status` or `top`, however the transfer ends."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.presentation import build_context, build_role
from pynetdicom.sop_class import (
    CTImageStorage,
    MRImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from tests.support import scu
from tests.support.client import client_context
from tests.support.dicomfiles import write_ct
from tests.support.gateway import REPOSITORY, Gateway
from tests.support.orthanc import orthanc
from tests.support.processes import clean_environment, until
from tests.support.site import HOST, Site, port_of

pytestmark = pytest.mark.peers

WORDS = {
    "PatientName": "CANARY^NAME",
    "PatientID": "CANARYID",
    "PatientBirthDate": "18991231",
    "AccessionNumber": "CANARYACCESSION",
    "StudyDescription": "CANARYSTUDY",
    "StudyInstanceUID": "1.2.826.0.1.3680043.10.1337.999.1",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.10.1337.999.2",
}
ASKED = {keyword: WORDS[keyword] for keyword in ("PatientName", "PatientID", "AccessionNumber", "StudyInstanceUID")}
INSTANCE = "1.2.826.0.1.3680043.10.1337.999.3"
FOUND = [0xFF00, 0x0000]  # the study, and the end
NOT_AUTHORIZED, MOVE_DESTINATION_UNKNOWN = 0x0124, 0xA801


def image(folder: Path, number: int, sop_class: str = CTImageStorage) -> Dataset:
    write_ct(folder / "image.dcm", 4096)
    made = pydicom.dcmread(folder / "image.dcm")
    for keyword, value in WORDS.items():
        setattr(made, keyword, value)
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = sop_class
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{INSTANCE}.{number}"
    return made


def keys(**values: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    for keyword, value in values.items():
        setattr(query, keyword, value)
    return query


def find(association: Association, query: Dataset) -> list[int]:
    """The status of each response to a C-FIND."""
    return [status.Status for status, _ in association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)]


def told(gateway: Gateway, verb: str, *arguments: str) -> str:
    """The output of a verb."""
    return subprocess.run(
        [sys.executable, "-m", "proxy.cli", verb, *arguments, "--config", gateway.path],
        env=clean_environment({"PYTHONPATH": str(REPOSITORY)}),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout


def shows_stores(gateway: Gateway) -> str:
    """The output of `top --once` for the one open association, after its stores are counted (once a second)."""
    table = told(gateway, "top", "--once")
    return "" if " 0 " in table.splitlines()[2] else table


def test_neither_what_passes_nor_what_is_refused_tells_of_a_patient(
    site: Site, start_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    peers = [{"aet": "CT1", "allow": ["modality", "viewer"]}, {"aet": "VIEWER", "allow": ["viewer"]}]
    syntax = "1.2.840.10008.1.2.1"
    contexts = [
        build_context(Verification),
        build_context(CTImageStorage, syntax),
        build_context(MRImageStorage, syntax),
        build_context(StudyRootQueryRetrieveInformationModelFind),
        build_context(StudyRootQueryRetrieveInformationModelMove),
        build_context(StudyRootQueryRetrieveInformationModelGet),
    ]
    roles = [build_role(uid, scu_role=True, scp_role=True) for uid in (CTImageStorage, MRImageStorage)]
    printed = []
    with orthanc(tmp_path / "orthanc", DicomAlwaysAllowGet=True, DicomAlwaysAllowMove=True) as pacs:
        config = site.one_tenant(pacs.port, peers=peers, control="control.sock", log={"level": "debug"})
        gateway = start_gateway(config)
        tls = (client_context(site.path("ca.pem")), HOST)
        port = port_of(config)
        with scu.association(port, contexts, tls, roles=roles) as association:
            assert association.send_c_store(image(tmp_path, 1)).Status == 0
            assert association.send_c_store(image(tmp_path, 2)).Status == 0
            assert association.send_c_store(image(tmp_path, 3, MRImageStorage)).Status == 0
            assert find(association, keys(**ASKED)) == FOUND
            query = keys(StudyInstanceUID=WORDS["StudyInstanceUID"])
            for status, _ in association.send_c_move(query, "CANARYTITLE", StudyRootQueryRetrieveInformationModelMove):
                assert status.Status == MOVE_DESTINATION_UNKNOWN
            table = until(lambda: shows_stores(gateway), "top shows that something was stored").splitlines()
            columns, row = table[1], table[2]
            end = columns.index("C-STOREs") + len("C-STOREs")
            assert row[:end].split()[-1] == "3", table
            printed += [*table, told(gateway, "status", "--format", "json")]
        with scu.association(port, contexts, tls, calling="VIEWER", roles=roles) as association:
            assert association.send_c_store(image(tmp_path, 4)).Status == NOT_AUTHORIZED
            assert find(association, keys(**ASKED)) == FOUND
        with scu.association(port, contexts[1:2], tls, calling="VIEWER") as association:
            assert association.is_rejected
        assert len(pacs.instances()) == 3
        gateway.wait_for_record(lambda record: record["decision"] == "refused")
        printed += [*gateway.child.output, *gateway.child.errors, gateway.get("/metrics")[1]]
    for word in (*WORDS.values(), INSTANCE):
        assert not [line for line in printed if word in line]
    record = gateway.wait_for_record(lambda record: record["calling_aet"] == "CT1")
    assert record["dimse"]["C-STORE"]["n"] == 3
    assert "CANARYTITLE" in "".join(record["refused_operations"])  # a title is no patient data
