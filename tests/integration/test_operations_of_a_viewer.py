"""A workstation that may only query and retrieve, in front of a PACS that would allow everything."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from tests.support.client import client_context
from tests.support.dicomfiles import write_ct
from tests.support.gateway import Gateway
from tests.support.site import HOST, Site, port_of

GET, MOVE = StudyRootQueryRetrieveInformationModelGet, StudyRootQueryRetrieveInformationModelMove
NOT_AUTHORIZED, DESTINATION_UNKNOWN = 0x0124, 0xA801


class Pacs:
    """pynetdicom with one CT image. `moves`: the destinations of C-MOVE; `stored`: the instances it received."""

    def __init__(self, image: Dataset) -> None:
        self.image = image
        self.moves: list[str] = []
        self.stored: list[str] = []
        entity = AE(ae_title="MAINPACS")
        for uid in (Verification, GET, MOVE):
            entity.add_supported_context(uid)
        entity.add_supported_context(CTImageStorage, image.file_meta.TransferSyntaxUID, scu_role=True, scp_role=True)
        handlers = [(evt.EVT_C_GET, self._get), (evt.EVT_C_MOVE, self._move), (evt.EVT_C_STORE, self._store)]
        self.server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.port = int(self.server.socket.getsockname()[1])

    def _get(self, event: Any) -> Iterator[Any]:
        yield 1
        yield 0xFF00, self.image

    def _move(self, event: Any) -> Iterator[Any]:
        self.moves.append(event.move_destination)
        yield None, None  # unknown to the PACS too

    def _store(self, event: Any) -> int:
        self.stored.append(event.request.AffectedSOPInstanceUID)
        return 0x0000


@pytest.fixture
def image(tmp_path: Path) -> Dataset:
    write_ct(tmp_path / "ct.dcm", 32 * 1024)
    return pydicom.dcmread(tmp_path / "ct.dcm")


@pytest.fixture
def pacs(image: Dataset) -> Iterator[Pacs]:
    pacs = Pacs(image)
    yield pacs
    pacs.server.shutdown()


def associate(site: Site, config: dict[str, Any], image: Dataset, received: list[str]) -> Association:
    def store(event: Any) -> int:
        received.append(event.request.AffectedSOPInstanceUID)
        return 0x0000

    entity = AE(ae_title="WS1")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    for uid in (Verification, GET, MOVE):
        entity.add_requested_context(uid)
    entity.add_requested_context(CTImageStorage, image.file_meta.TransferSyntaxUID)
    association = entity.associate(
        "127.0.0.1",
        port_of(config),
        ae_title="MAINPACS",
        ext_neg=[build_role(CTImageStorage, scu_role=True, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, store)],
        tls_args=(client_context(site.path("ca.pem")), HOST),
    )
    assert association.is_established
    return association


def test_a_viewer_retrieves_to_itself_and_stores_nothing(
    site: Site, start_gateway: Callable[..., Gateway], pacs: Pacs, image: Dataset
) -> None:
    received: list[str] = []
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = image.StudyInstanceUID
    config = site.one_tenant(pacs.port, peers=[{"aet": "WS1", "allow": ["viewer"]}])
    gateway = start_gateway(config)
    association = associate(site, config, image, received)
    try:
        statuses = [status.Status for status, _ in association.send_c_get(identifier, GET)]
        assert statuses[-1] == 0x0000
        assert received == [image.SOPInstanceUID]

        assert association.send_c_store(image).Status == NOT_AUTHORIZED
        assert pacs.stored == []

        asked = [status.Status for status, _ in association.send_c_move(identifier, "ELSEWHERE", MOVE)]
        assert asked == [DESTINATION_UNKNOWN]
        assert pacs.moves == []
        assert [status.Status for status, _ in association.send_c_move(identifier, "WS1", MOVE)]
        assert pacs.moves == ["WS1"]

        assert association.send_c_echo().Status == 0x0000
    finally:
        association.release()
    record = gateway.wait_for_record()
    assert (record["decision"], record["ended"]) == ("accepted", "released")
    gateway.check_healthy()


def test_observe_mode_lets_it_store_and_counts_that(
    site: Site, start_gateway: Callable[..., Gateway], pacs: Pacs, image: Dataset
) -> None:
    config = site.one_tenant(pacs.port, peers=[{"aet": "WS1", "allow": ["viewer"]}])
    config["tenants"]["hospital"]["observe_until"] = "2100-01-01"
    gateway = start_gateway(config)
    association = associate(site, config, image, [])
    try:
        assert association.send_c_store(image).Status == 0x0000
    finally:
        association.release()
    assert pacs.stored == [image.SOPInstanceUID]
    record = gateway.wait_for_record()
    assert "operation_not_allowed" in record["would_refuse"]
