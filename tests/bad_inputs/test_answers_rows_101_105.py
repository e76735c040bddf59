"""Rows 101 to 105: what a PACS answers, too early, at the last moment, or not any more."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.pdu.encode import encode_abort, encode_p_data, encode_release_rq
from tests.bad_inputs.case import Case
from tests.bad_inputs.fake_pacs import PacsSide
from tests.bad_inputs.hostile import Peer, TlsPeer
from tests.support import dicomfiles, pdus
from tests.support.dcmtk import storescu
from tests.support.messages import stored
from tests.support.pdus import encode_release_rp
from tests.support.storing import c_store, request

Leave = Callable[[PacsSide], None]
ABORT = encode_abort(2, 0)


def close(side: PacsSide) -> None:
    side.socket.close()


def asking(case: Case, calling: str) -> tuple[TlsPeer, PacsSide]:
    """A requestor whose request the PACS has read and not answered."""
    peer = case.secured()
    peer.send(pdus.associate_rq(calling=calling.encode().ljust(16)))
    return peer, case.pacs.side(calling)


# --- row 101: half-closed after its last response --------------------------------------------------------------------


@pytest.mark.parametrize("part", [0, 0.9])
def test_row_101_half_close(case: Case, part: float) -> None:
    """The last response arrives, then an A-ABORT. The PACS gets an A-ABORT too, or a RST inside a PDU."""
    peer, side = case.handed_over("HANDOVER101")
    asked, response = stored(bytes(1000)), stored(b"the last response")
    sent = asked + asked[: int(part * len(asked))]
    peer.send(sent)
    while len(side.received) < len(sent):
        assert side.read()
    side.send(response)
    side.socket.shutdown(socket.SHUT_WR)
    assert peer.pdu() + peer.pdu() == response
    assert peer.aborted() == "2/0"
    if part:
        assert side.read_to_end() == sent and side.end == "reset"
    else:
        assert side.read_to_end() == sent + ABORT and side.end == "fin"
    case.passed(peer, "upstream_lost")


# --- row 102: A-ASSOCIATE-RJ ----------------------------------------------------------------------------------------

RJ = b"\x03\0\0\0\0\x04\0"


@pytest.mark.parametrize("triple", [b"\1\1\1", b"\1\1\7", b"\1\2\2", b"\2\3\2", b"\0\0\0", b"\x09\xfe\xff"])
def test_row_102_rejections_as_they_come(case: Case, triple: bytes) -> None:
    """Codes that PS3.8 Table 9-21 does not know, too: they are the upstream's words."""
    peer, side = asking(case, "HANDOVER102")
    side.send(RJ + triple)
    assert peer.pdu() == RJ + triple
    assert peer.rest() == b"" and peer.end == "fin" and peer.close_notify
    assert side.read_to_end() == b"" and side.end == "fin"
    case.refused(peer, "upstream_rejected", dialled=1)


def test_row_102_reserved_bytes_and_split(case: Case) -> None:
    rejection = b"\x03\xaa\0\0\0\x04\xbb\1\1\3"
    peer, side = asking(case, "HANDOVER102")
    for byte in rejection:
        side.send(bytes((byte,)))
    assert peer.pdu() == rejection
    assert peer.rest() == b"" and peer.end == "fin"
    assert side.read_to_end() == b"" and side.end == "fin"
    case.refused(peer, "upstream_rejected", dialled=1)


@pytest.mark.parametrize("leave", [PacsSide.reset, close])
def test_row_102_rejection_and_gone(case: Case, leave: Leave) -> None:
    """Bytes before the break of the connection count; bytes after it do not."""
    peer, side = asking(case, "HANDOVER102")
    side.send(RJ + b"\1\1\3" + b"more")
    leave(side)
    assert peer.pdu() == RJ + b"\1\1\3"
    assert peer.rest() == b"" and peer.end == "fin"
    case.refused(peer, "upstream_rejected", dialled=1)


# --- row 103: the requestor has left --------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", [Peer.reset, Peer.close])
def test_row_103_answer_behind_the_abort(case: Case, leave: Callable[[Peer], None]) -> None:
    peer, side = asking(case, "HANDOVER103")
    leave(peer)
    assert side.read() and side.received == ABORT
    side.accept()
    assert side.read_to_end() == ABORT and side.end == "fin"
    case.gone(peer, "refused", dialled=1)


@pytest.mark.parametrize("order", ["answer first", "leaves first"])
@pytest.mark.parametrize("leave", [Peer.reset, Peer.close])
def test_row_103_answer_and_leaving_at_once(case: Case, leave: Callable[[Peer], None], order: str) -> None:
    """The gateway sees both in one turn: in either order the PACS gets an A-ABORT."""
    for _ in range(10):
        peer, side = asking(case, "HANDOVER103")
        _, *workers = case.gateway.child.family()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            if order == "leaves first":
                leave(peer)
            side.accept()
            if order == "answer first":
                leave(peer)
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        assert side.read_to_end() == ABORT and side.end == "fin"
        if case.record(peer)["decision"] == "accepted":
            case.passed(peer, "requestor_lost", case.record(peer).get("reason"))
        else:
            case.gone(peer, "refused", dialled=1)


# --- row 104: PDUs before the answer ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "early", [encode_p_data(1, 2, bytes(100)), encode_release_rq(), encode_release_rp(), pdus.associate_rq()]
)
def test_row_104_before_the_answer(case: Case, early: bytes) -> None:
    """The answer after it in the same segment does not help, and none of it is passed on."""
    peer, side = asking(case, "HANDOVER104")
    side.send(early + side.answer())
    assert peer.rejected() == "2/3/1"
    assert side.read_to_end() == ABORT
    case.refused(peer, "upstream_protocol_error", dialled=1)


@pytest.mark.parametrize("length", [0, 67, 0x7FFFFFFF, 0xFFFFFFFF])
def test_row_104_an_answer_of_a_length_that_cannot_be(case: Case, length: int) -> None:
    """Judged by its header: nothing is waited for, and nothing kept."""
    peer, side = asking(case, "HANDOVER104")
    side.send(b"\x02\0" + length.to_bytes(4, "big") + bytes(min(length, 1 << 18)))
    assert peer.rejected() == "2/3/1"
    assert side.read_to_end() == ABORT
    case.refused(peer, "upstream_protocol_error", dialled=1)


def test_row_104_right_behind_the_answer(case: Case) -> None:
    """In the same segment: early, but not too early."""
    peer, side = asking(case, "HANDOVER104")
    data = stored(bytes(100))
    side.send(side.answer() + data)
    assert peer.accepted() == side.answer()
    assert peer.pdu() + peer.pdu() == data
    peer.send(encode_abort(0, 0))
    assert peer.rest() == b"" and peer.end == "fin"
    assert side.read_to_end() == encode_abort(0, 0)
    case.passed(peer, "aborted_by_requestor")


# --- row 105: C-STORE-RSP lost --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("ct") / "ct.dcm"
    dicomfiles.write_ct(file, 256 * 1024)
    return file


def abort(side: PacsSide) -> None:
    side.send(ABORT)
    side.socket.shutdown(socket.SHUT_WR)
    side.read_to_end()


def has_stored(side: PacsSide, store: bytes) -> None:
    """The whole of a C-STORE-RQ is with the PACS."""
    while len(side.received) < len(store):
        assert side.read(), side.end
    assert side.received == store


@pytest.mark.parametrize(
    ("leave", "ended", "reason"),
    [
        (PacsSide.reset, "upstream_lost", None),
        (close, "upstream_lost", None),
        (abort, "aborted_by_upstream", "upstream_aborted"),
    ],
)
def test_row_105_dies_before_the_response(
    case: Case, image: Path, leave: Leave, ended: str, reason: str | None
) -> None:
    """The requestor sees an A-ABORT and never a response."""
    peer, side = case.handed_over("HANDOVER105", request=request("PACS", "HANDOVER105"))
    store = b"".join(c_store(image))
    peer.send(store)
    has_stored(side, store)
    leave(side)
    assert peer.aborted() == "2/0"
    case.passed(peer, ended, reason)


@pytest.mark.peers
def test_row_105_a_real_sender_reports_a_failure(case: Case, image: Path) -> None:
    def die() -> None:
        side = case.pacs.side("HANDOVER105")
        side.accept()
        while len(side.received) < 256 * 1024:  # most of the image at least: no answer is due before the whole
            assert side.read(), side.end
        side.reset()

    pacs = threading.Thread(target=die, daemon=True)
    pacs.start()
    result = storescu(case.bed.ports["plain"], image, calling="HANDOVER105", called="PACS")
    pacs.join()
    assert result.code != 0 and "Peer aborted Association" in result.text, result.text
    assert "Received Store Response" not in result.text
    case.passed("127.0.0.1", "upstream_lost")
