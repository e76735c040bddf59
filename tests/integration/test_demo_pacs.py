"""The PACS of the demo stores and finds instances, and takes no file name from a peer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from proxy.demo.image import write_ct
from proxy.demo.pacs import Pacs, start_pacs


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Pacs]:
    running = Pacs("DEMOPACS", tmp_path / "stored", 0)
    yield running
    running.close()


@pytest.fixture
def association(pacs: Pacs) -> Iterator[Any]:
    modality = AE(ae_title="CT1")
    modality.add_requested_context(CTImageStorage)
    modality.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    established = modality.associate("127.0.0.1", pacs.port, ae_title=pacs.title)
    assert established.is_established
    yield established
    established.release()


def find(association: Any, level: str = "STUDY", **keys: str) -> list[Any]:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    answers = association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)
    return [identifier for _, identifier in answers if identifier is not None]


def test_what_is_stored_is_found(pacs: Pacs, association: Any, tmp_path: Path) -> None:
    image = tmp_path / "ct.dcm"
    uid = write_ct(image)
    sent = dcmread(image)
    assert association.send_c_store(sent).Status == 0
    stored = dcmread(pacs.folder / f"{uid}.dcm")
    assert stored.PixelData == sent.PixelData
    (study,) = find(association, PatientName="DEMO*", StudyInstanceUID="", Modality="")
    assert study.StudyInstanceUID == sent.StudyInstanceUID
    assert find(association, PatientID="NOBODY", StudyInstanceUID="") == []
    assert len(find(association, "IMAGE", SOPInstanceUID=uid)) == 1
    assert find(association, "NOWHERE", StudyInstanceUID="") == []


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_name_that_is_no_uid_is_not_stored(pacs: Pacs, association: Any, tmp_path: Path) -> None:
    image = tmp_path / "ct.dcm"
    write_ct(image)
    sent = dcmread(image)
    sent.SOPInstanceUID = "1.2/../../evil"
    assert association.send_c_store(sent).Status != 0
    assert list(tmp_path.glob("**/*evil*")) == []


def test_another_called_ae_title_is_refused(pacs: Pacs) -> None:
    modality = AE(ae_title="CT1")
    modality.add_requested_context(CTImageStorage)
    assert modality.associate("127.0.0.1", pacs.port, ae_title="OTHER").is_rejected


def test_a_pacs_whose_port_is_taken_gets_another_one(pacs: Pacs, tmp_path: Path) -> None:
    second = start_pacs("SECOND", tmp_path / "second", pacs.port)
    try:
        assert second.port not in (0, pacs.port)
    finally:
        second.close()
