"""Rows 93 and 94: DIMSE requests that the peer's entry does not allow, on an association that it does.

The PACS of these rows accepts each request, and keeps every byte that reaches it.
"""

from collections.abc import Callable

import pytest

from proxy.dimse.command import (
    C_CANCEL,
    C_ECHO,
    C_FIND,
    C_GET,
    C_MOVE,
    C_STORE,
    MOVE_DESTINATION_UNKNOWN,
    N_ACTION,
    N_CREATE,
    N_DELETE,
    N_EVENT_REPORT,
    N_GET,
    N_SET,
    NOT_AUTHORIZED,
    RESPONSE,
    decode_command,
)
from proxy.pdu.encode import encode_abort, encode_release_rq
from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import Case
from tests.bad_inputs.fake_pacs import PacsSide
from tests.bad_inputs.hostile import TlsPeer
from tests.support import pdus
from tests.support.messages import COMMAND, LAST, command, message, one_pdu

WARD = "ward.example.org"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"  # Study Root, MOVE
PEERS = [
    {"aet": "STORES", "allow": ["echo", "store"]},
    {"aet": "MOVES", "allow": ["echo", "move"]},
    {"aet": "LISTED", "allow": ["echo", "move"], "move_destinations": ["WS*", "ARCHIVE"]},
]
ECHO, STORE, THIRD = 1, 3, 5  # context ids
ECHOES = message(command(C_ECHO, 99, sop_class=pdus.VERIFICATION), context_id=ECHO)
DENIED = (C_FIND, C_MOVE, C_GET, N_ACTION, N_CREATE, N_SET, N_GET, N_DELETE, N_EVENT_REPORT)


@pytest.fixture(scope="module")
def bed(start_bed: Callable[..., Bed]) -> Bed:
    return start_bed(peers=PEERS)


def associated(case: Case, calling: str, abstract_syntax: str) -> tuple[TlsPeer, PacsSide]:
    """A peer with contexts of Verification, CT images and a third class; the permitted ones are accepted."""
    contexts = (
        pdus.context(ECHO),
        pdus.context(STORE, pdus.CT_IMAGE_STORAGE),
        pdus.context(THIRD, abstract_syntax),
    )
    titles = {"calling": calling.encode().ljust(16), "called": b"WARD".ljust(16)}
    request = pdus.associate_rq(pdus.APPLICATION, *contexts, pdus.user_information(), **titles)
    peer = case.associated(request=request, server_name=WARD)
    return peer, case.pacs.side(calling)


def request(field: int, message_id: int, destination: str | None, data_set: bytes | None) -> bytes:
    """A command set; of C-MOVE with its destination."""
    return command(field, message_id, data_set=data_set is not None, destination=destination)


def in_one_pdu(encoded: bytes, data_set: bytes | None, context_id: int) -> bytes:
    """Command and data set as PDVs of one P-DATA-TF."""
    pdvs = [(context_id, COMMAND | LAST, encoded)]
    return one_pdu(*pdvs, *([] if data_set is None else [(context_id, LAST, data_set)]))


def in_many_pdus(encoded: bytes, data_set: bytes | None, context_id: int) -> bytes:
    """Fragments of 20 bytes."""
    return message(encoded, data_set, context_id=context_id, step=20)


def in_whole_fragments(encoded: bytes, data_set: bytes | None, context_id: int) -> bytes:
    """As real peers do: one PDU for the command, one for the data set."""
    return message(encoded, data_set, context_id=context_id)


def refused_with(peer: TlsPeer, field: int, message_id: int, context_id: int) -> int:
    """The status of the next response, which must answer that request on its presentation context."""
    answer = peer.pdu()
    assert answer[:1] == b"\4" and answer[10:12] == bytes((context_id, COMMAND | LAST)), answer.hex()
    response = decode_command(answer[12:])
    assert (response.field, response.message_id, response.has_data_set) == (field | RESPONSE, message_id, False)
    assert response.status is not None
    return response.status


def ends_with_echoes_alone(case: Case, peer: TlsPeer, side: PacsSide, echoes: int) -> None:
    """Released; the PACS has seen C-ECHOs and nothing else."""
    case.released(peer)
    assert side.wait_end() == ECHOES * echoes + encode_release_rq()


def echo(peer: TlsPeer) -> None:
    peer.send(ECHOES)
    assert refused_with(peer, C_ECHO, 99, ECHO) == 0


@pytest.mark.parametrize("data_set", [None, b"d" * 50], ids=["command alone", "with data set"])
@pytest.mark.parametrize("form", [in_one_pdu, in_many_pdus, in_whole_fragments])
def test_row_093_denied_services_on_a_storage_context(
    case: Case, form: Callable[[bytes, bytes | None, int], bytes], data_set: bytes | None
) -> None:
    """Each request is answered with 0124H and not forwarded; the association goes on."""
    peer, side = associated(case, "STORES", MOVE)
    for number, field in enumerate(DENIED, 1):
        destination = "STORES" if field == C_MOVE else None
        peer.send(form(request(field, number, destination, data_set), data_set, STORE))
        assert refused_with(peer, field, number, STORE) == NOT_AUTHORIZED
        echo(peer)
    ends_with_echoes_alone(case, peer, side, len(DENIED))
    record = case.record(peer)
    assert {name: counted["refused"] for name, counted in record["dimse"].items() if name != "C-ECHO"} == dict.fromkeys(
        ("C-FIND", "C-MOVE", "C-GET", "N-ACTION", "N-CREATE", "N-SET", "N-GET", "N-DELETE", "N-EVENT-REPORT"), 1
    )
    assert len(record["refused_operations"]) == len(DENIED)


def test_row_093_a_cancel_has_no_answer(case: Case) -> None:
    peer, side = associated(case, "STORES", MOVE)
    peer.send(message(command(C_CANCEL, 7), context_id=STORE))
    echo(peer)
    ends_with_echoes_alone(case, peer, side, 1)


def test_row_093_a_store_where_only_moving_is_allowed(case: Case) -> None:
    """CT storage is no context of this peer: a message there is as one on any id that was not accepted."""
    peer, side = associated(case, "MOVES", MOVE)
    echo(peer)
    peer.send(message(command(C_STORE, 1, data_set=True), b"d" * 50, context_id=STORE))
    assert peer.aborted() == "2/6"
    assert side.wait_end() == ECHOES + encode_abort(2, 6)
    case.passed(peer, "aborted_by_gateway", "pdu_invalid")


@pytest.mark.parametrize("field", DENIED)
def test_row_093_denied_byte_by_byte(case: Case, field: int) -> None:
    peer, side = associated(case, "STORES", MOVE)
    data = in_one_pdu(request(field, 5, "STORES" if field == C_MOVE else None, b"d" * 20), b"d" * 20, STORE)
    for at in range(0, len(data), 7):
        peer.send(data[at : at + 7])
        peer.wait_acknowledged()
    assert refused_with(peer, field, 5, STORE) == NOT_AUTHORIZED
    ends_with_echoes_alone(case, peer, side, 0)


def test_row_093_many_refusals_in_one_flight_are_answered_in_order(case: Case) -> None:
    peer, side = associated(case, "STORES", MOVE)
    peer.send(b"".join(in_one_pdu(command(C_FIND, number, data_set=True), b"d", STORE) for number in range(1, 11)))
    for number in range(1, 11):
        assert refused_with(peer, C_FIND, number, STORE) == NOT_AUTHORIZED
    ends_with_echoes_alone(case, peer, side, 0)


@pytest.mark.parametrize(
    ("calling", "destination"),
    [
        ("MOVES", "EVIL"),
        ("MOVES", "MOVES2"),
        ("MOVES", "moves"),
        ("MOVES", ""),
        ("MOVES", "*"),
        ("MOVES", "self"),
        ("LISTED", "LISTED"),
        ("LISTED", "ARCHIVE2"),
        ("LISTED", "XWS1"),
    ],
)
@pytest.mark.parametrize("form", [in_one_pdu, in_many_pdus])
def test_row_094_foreign_destination(
    case: Case, calling: str, destination: str, form: Callable[[bytes, bytes | None, int], bytes]
) -> None:
    peer, side = associated(case, calling, MOVE)
    peer.send(form(command(C_MOVE, 3, data_set=True, destination=destination, sop_class=MOVE), b"d" * 50, THIRD))
    assert refused_with(peer, C_MOVE, 3, THIRD) == MOVE_DESTINATION_UNKNOWN
    echo(peer)
    ends_with_echoes_alone(case, peer, side, 1)
    assert case.record(peer)["dimse"]["C-MOVE"]["refused"] == 1


@pytest.mark.parametrize(
    ("calling", "destination"),
    [("MOVES", "MOVES"), ("MOVES", "MOVES           "), ("MOVES", " MOVES"), ("LISTED", "WS17"), ("LISTED", "ARCHIVE")],
)
def test_row_094_own_or_listed_destination_passes(case: Case, calling: str, destination: str) -> None:
    peer, side = associated(case, calling, MOVE)
    moved = in_one_pdu(command(C_MOVE, 3, data_set=True, destination=destination, sop_class=MOVE), b"d" * 50, THIRD)
    peer.send(moved)
    case.released(peer)
    assert side.wait_end() == moved + encode_release_rq()


@pytest.mark.parametrize(
    "destination",
    ["WS" + "1" * 60_000, "WS1\0EVIL", "WS1\\EVIL", "WS1\nEVIL", "WS1             EVIL"],
    ids=["60,000 characters", "NUL inside", "two values", "control character", "17 characters and more"],
)
def test_row_094_destination_that_two_parsers_read_differently(case: Case, destination: str) -> None:
    """No AE title (PS3.5 Table 6.2-1): what the pattern matches is not what the PACS would move to."""
    peer, side = associated(case, "LISTED", MOVE)
    data = command(C_MOVE, 3, data_set=True, destination=destination, sop_class=MOVE)
    peer.send(message(data, b"d" * 50, context_id=THIRD, step=70_000))
    assert refused_with(peer, C_MOVE, 3, THIRD) == MOVE_DESTINATION_UNKNOWN
    ends_with_echoes_alone(case, peer, side, 0)
    assert len(str(case.record(peer))) < 4096
    assert all(len(line) < 4096 for line in case.gateway.child.output)
