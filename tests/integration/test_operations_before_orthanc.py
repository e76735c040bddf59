"""The operations of each peer, requested by DCMTK's tools: the Orthanc behind the gateway would carry out all of them.

movescu and getscu have no TLS in DCMTK 3.6.7: they use a listener in plain DICOM.
"""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from proxy.dimse.command import C_FIND, C_GET, NOT_AUTHORIZED, decode_command
from proxy.pdu import encode_associate_rq
from tests.support import dcmtk
from tests.support.client import connect, release
from tests.support.dicomfiles import STUDY, write_series
from tests.support.gateway import Gateway
from tests.support.messages import command, message
from tests.support.orthanc import Orthanc, orthanc
from tests.support.pdus import IMPLICIT_LE
from tests.support.ports import free_port
from tests.support.processes import until
from tests.support.site import Site, port_of

pytestmark = pytest.mark.peers

PEERS = [
    {"aet": "MODALITY", "allow": ["echo", "store"]},
    {"aet": "FINDER", "allow": ["find"]},
    {"aet": "PLANNER", "allow": ["worklist"]},
    {"aet": "MOVER", "allow": ["move"]},
    {"aet": "LISTED", "allow": ["move"], "move_destinations": ["ELSE*"]},
    {"aet": "VIEWER", "allow": ["get"]},
]
WORKLIST, STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.31", "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
PENDING = 0xFF00
IN_ARCHIVE = 2  # instances
PLUGIN = "/usr/share/orthanc/plugins/libModalityWorklists.so"


class Tools:
    """DCMTK's tools before a gateway, by the operation that each asks for."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        self.gateway = gateway
        self.folder = folder
        self._tls, self._plain = port_of(gateway.config), port_of(gateway.config, "plain")

    def run(self, operation: str, calling: str, *, destination: str = "MOVER") -> dcmtk.Result:
        match operation:
            case "echo":
                return dcmtk.echoscu(self._tls, dcmtk.tls(), calling=calling)
            case "store":
                write_series(self.folder / "sent", 1, 4096)
                return dcmtk.storescu(self._tls, self.folder / "sent", dcmtk.tls(), calling=calling)
            case "find":
                return dcmtk.findscu(self._tls, dcmtk.tls(), calling=calling)
            case "worklist":
                return dcmtk.findscu(self._tls, dcmtk.tls(), calling=calling, worklist=True)
            case "move":
                return dcmtk.movescu(self._plain, STUDY, destination, calling=calling)
            case _:
                return dcmtk.getscu(self._plain, STUDY, self.folder / "got", calling=calling)


@pytest.fixture(scope="module")
def destination(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dcmtk.StoreScp]:
    """The storage SCP that Orthanc sends moved instances to, for each destination title."""
    with dcmtk.storescp(tmp_path_factory.mktemp("moved")) as server:
        yield server


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory, destination: dcmtk.StoreScp) -> Iterator[Orthanc]:
    """An Orthanc with a worklist of one item and a study of two instances, open to everybody for everything."""
    worklist = tmp_path_factory.mktemp("worklist")
    write_worklist(worklist)
    moves = {title: [title, "127.0.0.1", destination.port] for title in ("MOVER", "ELSEWHERE")}
    options = {
        "Plugins": [PLUGIN],
        "Worklists": {"Enable": True, "Database": str(worklist)},
        "DicomModalities": moves,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomAlwaysAllowFindWorklist": True,
    }
    with orthanc(tmp_path_factory.mktemp("orthanc"), verbose=True, **options) as server:
        write_series(tmp_path_factory.mktemp("study"), IN_ARCHIVE, 4096)
        stored = dcmtk.storescu(server.port, tmp_path_factory.getbasetemp() / "study0", calling="LOADER")
        assert stored.code == 0, stored.text
        yield server


def write_worklist(folder: Path) -> None:
    item = pydicom.Dataset()
    item.file_meta = pydicom.dataset.FileMetaDataset()
    item.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.31"
    item.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.10.1337.8"
    item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    item.PatientID, item.PatientName = "4711", "TEST^GATE"
    item.save_as(folder / "item.wl", enforce_file_format=True)
    (folder / "lockfile").touch()


@pytest.fixture
def tools(pacs: Orthanc, site: Site, start_gateway: Callable[..., Gateway], tmp_path: Path) -> Tools:
    config = site.one_tenant(pacs.port, peers=PEERS)
    config["listeners"]["plain"] = {
        "bind": [f"127.0.0.1:{free_port()}"],
        "tenants": ["hospital"],
        "networks": ["127.0.0.0/8"],
    }
    return Tools(start_gateway(config), tmp_path)


#: peer, operation -> the DIMSE services that are seen.
ALLOWED = {
    ("MODALITY", "echo"): {"C-ECHO"},
    ("MODALITY", "store"): {"C-STORE"},
    ("FINDER", "find"): {"C-FIND"},
    ("PLANNER", "worklist"): {"C-FIND"},
    ("MOVER", "move"): {"C-MOVE"},
    ("VIEWER", "get"): {"C-GET", "C-STORE"},
}
OPERATIONS = ("echo", "store", "find", "worklist", "move", "get")
#: What movescu and getscu say where a part of what they propose is accepted, but not the part they need.
PARTLY = {
    ("FINDER", "move"): "DIMSE No valid Presentation Context ID",
    ("MODALITY", "get"): "No adequate Presentation Contexts for sending C-GET",
}


def counts(record: dict[str, Any]) -> dict[str, dict[str, int]]:
    """The counts of each service in the access record, without zeros and times."""
    return {
        name: {what: n for what, n in counted.items() if n and what != "seconds"}
        for name, counted in record["dimse"].items()
    }


def check_metrics(gateway: Gateway, service: str, number: int, *, out: bool) -> None:
    """So many requests of a service went one way, and as many responses came: success."""
    labels = {"tenant": "hospital", "operation": service.lower().replace("-", "_")}
    direction = "out" if out else "in"
    assert gateway.metric("dimse_messages_total", **labels) == number
    assert gateway.metric("dimse_messages_total", **labels, direction=direction) == number
    assert gateway.metric("dimse_responses_total", **labels, status_class="success") == number
    assert gateway.metric("dimse_duration_seconds_count", **labels) == number


@pytest.mark.parametrize("peer", sorted({peer for peer, _ in ALLOWED}))
def test_a_peer_may_do_what_its_entry_allows_and_nothing_else(peer: str, tools: Tools, pacs: Orthanc) -> None:
    gateway = tools.gateway
    for operation in OPERATIONS:
        mark = gateway.mark()
        stored = len(pacs.instances())
        result = tools.run(operation, peer)
        record = gateway.wait_for_record(since=mark)
        assert record["peer"] == peer
        services = ALLOWED.get((peer, operation))
        if services is not None:
            assert result.code == 0, result.text
            assert (record["decision"], record["ended"]) == ("accepted", "released")
            often = {"C-STORE": stored if operation == "get" else 1}
            assert counts(record) == {s: {"n": often.get(s, 1), "ok": often.get(s, 1)} for s in services}
            for service in services:
                check_metrics(gateway, service, often.get(service, 1), out=(operation, service) == ("get", "C-STORE"))
            assert len(pacs.instances()) == stored + (operation == "store")
            continue
        assert "dimse" not in record and len(pacs.instances()) == stored
        if words := PARTLY.get((peer, operation)):
            assert words in result.text and "(User Rejection)" in result.text, result.text
            assert record["decision"] == "accepted"
            assert {context["by"] for context in record["contexts"]["refused"]} == {"gateway"}
            assert record["contexts"]["kept"] == record["contexts"]["proposed"] - 1
        else:
            assert result.code != 0
            assert dcmtk.PERMANENT in result.text or "DUL Association Rejected" in result.text, result.text
            assert (record["decision"], record["reason"]) == ("refused", "no_permitted_context")
            assert record["contexts"]["kept"] == 0
    refused = len(OPERATIONS) - sum(name == peer for name, _ in (*ALLOWED, *PARTLY))
    assert gateway.metric("association_refusals_total", reason="no_permitted_context") == refused
    assert gateway.metric("dimse_refusals_total") == 0  # nothing got that far


def test_a_get_delivers_and_counts_what_it_delivers(tools: Tools, pacs: Orthanc) -> None:
    result = tools.run("get", "VIEWER")
    assert result.code == 0, result.text
    got = [path for path in (tools.folder / "got").iterdir() if path.is_file()]
    assert len(got) == len(pacs.instances())
    record = tools.gateway.wait_for_record()
    # Every context of storage offers the SCP role: all are kept, and the one of C-GET.
    assert record["contexts"]["kept"] == record["contexts"]["proposed"]
    assert tools.gateway.metric("instances_stored_total", sop_class="ct", status_class="success") == len(got)
    assert tools.gateway.metric("instance_size_bytes_count", tenant="hospital") == len(got)
    size = tools.gateway.metric("instance_size_bytes_sum", tenant="hospital")
    assert 4096 * len(got) < size < 6000 * len(got)
    assert tools.gateway.metric("instances_stored_bytes_total", tenant="hospital", sop_class="ct") == size
    assert record["instances"] == {"ct": {"n": len(got), "bytes": size}}
    assert record["dimse"]["C-GET"]["seconds"] >= record["dimse"]["C-STORE"]["seconds"] > 0


def test_a_move_goes_where_it_may_and_nowhere_else(tools: Tools, pacs: Orthanc, destination: dcmtk.StoreScp) -> None:
    gateway = tools.gateway
    for file in destination.stored:
        file.unlink()
    heard = moves_heard_of(pacs)
    for peer, title in (("MOVER", "ELSEWHERE"), ("LISTED", "MOVER"), ("LISTED", "LISTED")):
        mark = gateway.mark()
        result = tools.run("move", peer, destination=title)
        assert "Refused: MoveDestinationUnknown" in result.text and "0xa801" in result.text, result.text
        record = gateway.wait_for_record(since=mark)
        assert (record["decision"], record["ended"]) == ("accepted", "released")
        assert counts(record) == {"C-MOVE": {"refused": 1}}
        assert record["refused_operations"] == [f"C-MOVE to '{title}'"]
        event = gateway.wait_for_event("operation_refused", since=mark)
        assert (event["id"], event["peer"], event["tenant"]) == (record["id"], peer, "hospital")
        assert (event["reason"], event["detail"]) == ("move_destination_not_allowed", f"C-MOVE to '{title}'")
    assert not destination.stored
    assert moves_heard_of(pacs) == heard
    refusals = {"tenant": "hospital", "operation": "c_move", "reason": "move_destination_not_allowed"}
    assert gateway.metric("dimse_refusals_total", decision="refuse", **refusals) == 3
    assert gateway.metric("dimse_messages_total") == 0

    assert tools.run("move", "LISTED", destination="ELSEWHERE").code == 0
    assert len(destination.stored) == len(pacs.instances())
    assert gateway.metric("dimse_messages_total", operation="c_move") == 1
    until(lambda: moves_heard_of(pacs) == heard + 1, "Orthanc has said so")


def moves_heard_of(pacs: Orthanc) -> int:
    """The number of C-MOVE requests in Orthanc's log."""
    return sum("Move-SCU request received" in line for line in pacs.child.errors)


def ask_for_studies(port: int) -> list[tuple[int | None, bytes]]:
    """C-FIND of the study root on the context of the worklist: status and data set of each answer."""
    query = b"".join(
        struct.pack("<HHL", group, element, len(value)) + value
        for group, element, value in ((8, 0x52, b"STUDY "), (0x10, 0x20, b""), (0x20, 0x0D, b""))
    )
    answers: list[tuple[int | None, bytes]] = []
    with connect(port) as wire:
        wire.send(encode_associate_rq("MAINPACS", "PLANNER", [(1, WORKLIST, [IMPLICIT_LE])]))
        assert wire.receive_pdu()[:1] == b"\2"
        wire.send(message(command(C_FIND, sop_class=STUDY_ROOT_FIND, data_set=True, more=[(0x0700, bytes(2))]), query))
        while True:
            answer = decode_command(wire.receive_pdu()[12:])
            answers.append((answer.status, wire.receive_pdu()[12:] if answer.has_data_set else b""))
            if answer.status != PENDING:
                release(wire)
                return answers


def test_the_worklist_is_no_way_to_the_studies(pacs: Orthanc, tools: Tools) -> None:
    """Orthanc goes by the SOP class in the command, not by that of the presentation context."""
    direct = ask_for_studies(pacs.port)
    assert [status for status, _ in direct] == [PENDING, 0], direct
    assert STUDY.encode() in direct[0][1]
    assert ask_for_studies(port_of(tools.gateway.config, "plain")) == [(NOT_AUTHORIZED, b"")]


def get_in_vain(port: int) -> bytes:
    """The answer to a C-GET where no presentation context was proposed that its instances could come on."""
    elements = ((8, 0x52, b"STUDY "), (0x20, 0x0D, STUDY.encode() + b"\0" * (len(STUDY) % 2)))
    identifier = b"".join(struct.pack("<HHL", group, tag, len(value)) + value for group, tag, value in elements)
    with connect(port) as wire:
        wire.send(encode_associate_rq("MAINPACS", "VIEWER", [(1, STUDY_ROOT_GET, [IMPLICIT_LE])]))
        assert wire.receive_pdu()[:1] == b"\2"
        wire.send(
            message(command(C_GET, sop_class=STUDY_ROOT_GET, data_set=True, more=[(0x0700, bytes(2))]), identifier)
        )
        answer = wire.receive_pdu()
        release(wire)
        return answer


def test_what_could_not_be_retrieved_is_told(pacs: Orthanc, tools: Tools) -> None:
    """DCMTK's SCPs list the failed instances (0008,0058) after the elements of the command set."""
    direct = get_in_vain(pacs.port)
    assert b"\x08\0\x58\0" in direct
    assert get_in_vain(port_of(tools.gateway.config, "plain")) == direct
    record = tools.gateway.wait_for_record()
    assert record["ended"] == "released"
    assert counts(record) == {"C-GET": {"n": 1, "fail": 1}}
