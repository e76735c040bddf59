"""Row 145: a sender is cut off shortly before the end of a C-STORE; the PACS is a real storescp."""

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.filewriter import write_dataset

from proxy.pdu.encode import encode_p_data
from tests.bad_inputs.hostile import SOON, TlsPeer
from tests.support import dicomfiles, pdus
from tests.support.dcmtk import StoreScp, storescp
from tests.support.gateway import Gateway
from tests.support.site import HOST, Site, port_of

CT, EXPLICIT = pdus.CT_IMAGE_STORAGE, pdus.EXPLICIT_LE
RQ = pdus.associate_rq(
    pdus.APPLICATION, pdus.context(1, CT, EXPLICIT), pdus.user_information(), called=b"MAINPACS".ljust(16)
)
MOST = 16_000


def c_store(file: Path) -> bytes:
    """The P-DATA-TFs of a C-STORE-RQ of the file (PS3.7 9.3.1)."""
    uid, data_set = dicomfiles.data_set_of(file.read_bytes())
    command = pydicom.Dataset()
    command.AffectedSOPClassUID, command.AffectedSOPInstanceUID = CT, uid
    command.CommandField, command.MessageID, command.Priority, command.CommandDataSetType = 1, 1, 0, 0
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, True
    write_dataset(buffer, command)
    body = buffer.getvalue()
    group_length = bytes((0, 0, 0, 0, 4, 0, 0, 0)) + len(body).to_bytes(4, "little")
    pieces = [data_set[start : start + MOST] for start in range(0, len(data_set), MOST)]
    parts = [encode_p_data(1, 0 if piece is not pieces[-1] else 2, piece) for piece in pieces]
    return encode_p_data(1, 3, group_length + body) + b"".join(parts)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreScp]:
    with storescp(tmp_path_factory.mktemp("stored")) as pacs:
        yield pacs


@pytest.fixture(scope="module")
def gateway(site: Site, pacs: StoreScp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), site.one_tenant(pacs.port))
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("ct") / "ct.dcm"
    dicomfiles.write_ct(file, 64 * 1024)
    return c_store(file)


def sender(gateway: Gateway) -> TlsPeer:
    peer = TlsPeer(port_of(gateway.config), "127.0.0.1", server_name=HOST)
    assert peer.handshake()
    peer.associate(RQ)
    return peer


@pytest.mark.peers
@pytest.mark.parametrize("missing", range(1, 11))
@pytest.mark.parametrize("cut", ["fin", "close_notify", "reset"])
def test_row_145_cut_before_the_end(gateway: Gateway, pacs: StoreScp, store: bytes, cut: str, missing: int) -> None:
    """Inside a PDU no byte of ours may follow: an A-ABORT would be taken for pixel data and stored with Success."""
    since = gateway.mark()
    peer = sender(gateway)
    peer.send(store[:-missing])
    if cut == "reset":
        peer.wait_acknowledged()
        peer.reset()
    else:
        if cut == "close_notify":
            peer.send_wire(peer.close_tls())
        peer.fin()
        peer.rest()
        peer.close()
    record = gateway.wait_for_record(since=since)
    assert (record["decision"], record["ended"]) == ("accepted", "requestor_lost")
    gateway.check_healthy()
    assert pacs.stored == []


@pytest.mark.peers
def test_row_145_control_the_whole_of_it_is_stored(gateway: Gateway, pacs: StoreScp, store: bytes) -> None:
    since = gateway.mark()
    peer = sender(gateway)
    peer.send(store)
    assert peer.pdu(SOON * 3)[:1] == b"\x04"
    peer.release()
    assert gateway.wait_for_record(since=since)["ended"] == "released"
    (stored,) = pacs.stored
    assert len(stored.read_bytes()) > 64 * 1024
    stored.unlink()
