"""Row 100: a PACS that resets the connection, at each possible place."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from proxy.pdu.encode import encode_abort, encode_release_rq
from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import Case
from tests.bad_inputs.fake_pacs import PacsSide
from tests.bad_inputs.faulty_listeners import SlammedDoor
from tests.bad_inputs.hostile import TlsPeer
from tests.support import pdus
from tests.support.messages import stored
from tests.support.pdus import encode_release_rp

TITLE = "HANDOVER100"
RQ = pdus.associate_rq(calling=TITLE.encode().ljust(16))
Leave = Callable[[PacsSide], None]


def close(side: PacsSide) -> None:
    side.socket.close()


@pytest.fixture(scope="module")
def slammed() -> Iterator[SlammedDoor]:
    with contextlib.closing(SlammedDoor()) as door:
        yield door


@pytest.fixture(scope="module")
def bed(start_bed: Callable[..., Bed], slammed: SlammedDoor) -> Bed:
    return start_bed(routes={"SLAMMED": slammed.port})


def received(side: PacsSide, count: int) -> bytes:
    """So many bytes, once they have come."""
    while len(side.received) < count:
        assert side.read(), side.end
    return bytes(side.received[:count])


def test_row_100_right_after_the_accept(case: Case, slammed: SlammedDoor) -> None:
    """Dialled once for each requestor, never again."""
    before = slammed.dials
    for _ in range(50):
        peer = case.secured()
        with case.promptly():
            peer.send(pdus.associate_rq(called=b"SLAMMED".ljust(16)))
            assert peer.rejected() == "2/3/1"
        peer.close()
        case.refused(peer, "upstream_unavailable")
    assert slammed.dials == before + 50


@pytest.mark.parametrize("leave", [PacsSide.reset, close])
@pytest.mark.parametrize("plain", [False, True])
def test_row_100_at_each_byte_of_the_answer(case: Case, leave: Leave, plain: bool) -> None:
    """Offset 0 is right after the request. Part of an answer is no answer; a whole one is passed on, then A-ABORT."""
    offset = 0
    while True:
        peer = case.peer() if plain else case.secured()
        peer.send(RQ)
        side = case.pacs.side(TITLE)
        answer = side.answer()
        side.send(answer[:offset])
        with case.promptly():
            leave(side)
            if offset < len(answer):
                assert peer.rejected() == "2/3/1", offset
                case.refused(peer, "upstream_unavailable", dialled=1)
            else:
                assert peer.accepted() == answer
                assert peer.aborted() == "2/0"
                case.passed(peer, "upstream_lost")
        assert plain or (isinstance(peer, TlsPeer) and peer.close_notify)
        peer.close()
        if offset == len(answer):
            break
        offset += 1
    assert offset > 100


@pytest.mark.parametrize("leave", [PacsSide.reset, close])
@pytest.mark.parametrize("taken", [0, 5, 12, 13, 70_000, 200_000])
def test_row_100_amid_a_store(case: Case, leave: Leave, taken: int) -> None:
    """The requestor goes on sending meanwhile: the A-ABORT reaches it nevertheless."""
    peer, side = case.handed_over(TITLE)
    store = stored(bytes(20 * 16_000))
    peer.send(store[: len(store) - 100])
    assert received(side, taken) == store[:taken]
    with case.promptly():
        leave(side)
        peer.send(store[-100:] + store)
        assert peer.aborted() == "2/0"
    case.passed(peer, "upstream_lost")


def test_row_100_what_waits_for_a_slow_requestor_is_delivered_first(case: Case) -> None:
    """The gateway has stopped reading the PACS when that is gone: what its kernel holds still counts."""
    peer, side = case.handed_over(TITLE)
    before = case.gateway.metric("backpressure_pauses_total")
    data = b""
    while case.gateway.metric("backpressure_pauses_total") == before:
        data += (message := stored(bytes((len(data) % 251,)) * 60_000))
        side.send(message)
    side.send(unread := stored(b"unread" * 5_000))
    side.reset()
    with case.promptly():
        assert b"".join(iter(peer.pdu, b"")) == data + unread + encode_abort(2, 0)
    assert peer.end == "fin"
    case.passed(peer, "upstream_lost")


@pytest.mark.parametrize("cut", [300, 30_000, 59_999])
def test_row_100_amid_its_own_data(case: Case, cut: int) -> None:
    """Inside a PDU none of our bytes follows: the requestor gets what came of it, then RST, without close_notify."""
    peer, side = case.handed_over(TITLE)
    whole, broken = stored(b"w" * 60_000), stored(b"b" * 60_000)
    side.send(whole + broken[:cut])
    with case.promptly():
        side.reset()
        assert peer.rest() == whole + broken[:cut]
    assert peer.end == "reset" and not peer.close_notify
    case.passed(peer, "upstream_lost")


@pytest.mark.parametrize("leave", [PacsSide.reset, close])
@pytest.mark.parametrize("said", [0, 1, 9, 10])
def test_row_100_after_the_release(case: Case, leave: Leave, said: int) -> None:
    """Without a whole A-RELEASE-RP the association was not released: the requestor gets an A-ABORT."""
    peer, side = case.handed_over(TITLE)
    peer.send(encode_release_rq())
    assert received(side, 10) == encode_release_rq()
    side.send(encode_release_rp()[:said])
    with case.promptly():
        leave(side)
        if said == 10:
            assert peer.pdu() == encode_release_rp()
            assert peer.rest() == b"" and peer.end == "fin"
            case.passed(peer, "released")
        else:
            assert peer.aborted() == "2/0"
            case.passed(peer, "upstream_lost")


@pytest.mark.parametrize("leave", [PacsSide.reset, close])
@pytest.mark.parametrize("answered", [True, False])
def test_row_100_after_its_own_release(case: Case, leave: Leave, answered: bool) -> None:
    """The A-RELEASE-RQ of a PACS that does not wait for the answer: the requestor's next PDU ends the association."""
    peer, side = case.handed_over(TITLE)
    side.send(encode_release_rq())
    with case.promptly():
        leave(side)
        assert peer.pdu() == encode_release_rq()
        if answered:
            peer.send(encode_release_rp())
        assert peer.rest() == b"" and peer.end == "fin"
    peer.close()
    case.passed(peer, "released")
