"""The rules of a live association that follow from a decision: by class, by destination, and after a reload."""

import dataclasses
from typing import Any

import pytest

from proxy.config.dictionary import sop_classes
from proxy.dimse.command import (
    C_FIND,
    C_MOVE,
    C_STORE,
    MOVE_DESTINATION_UNKNOWN,
    N_ACTION,
    N_CREATE,
    NOT_AUTHORIZED,
    RESPONSE,
    DimseError,
    decode_command,
)
from proxy.dimse.inspection import Inspection, RefusedCommand
from proxy.dimse.services import expand
from proxy.net.operations import inspection_of, narrow
from proxy.pdu import AAssociateAC, AAssociateRQ, PresentationContextResult, Span, UserInformation
from proxy.policy import Accept, Peer, Tenant
from proxy.policy.decision import decide
from tests.support.messages import command
from tests.support.requests import IMPLICIT_VR_LITTLE_ENDIAN, NOW, facts, proposing

CT, MR, PRIVATE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.3.12.2.1107.5.9.1"
FIND, FIND_PATIENT = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.1.1"
MOVE, WORKLIST, COMMITMENT = "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.31", "1.2.840.10008.1.20.1"
PRINT_META, FILM_SESSION = "1.2.840.10008.5.1.1.9", "1.2.840.10008.5.1.1.1"
UPS_PULL, UPS_PUSH = "1.2.840.10008.5.1.4.34.6.3", "1.2.840.10008.5.1.4.34.6.1"
EXPLICIT = "1.2.840.10008.1.2.1"


def decided(request: AAssociateRQ, *words: str, observe_until: float | None = None, **of_peer: Any) -> Accept:
    peer = dataclasses.replace(Peer("ct1", ("CT1",), expand(words)), **of_peer)
    tenant = Tenant(
        "hospital",
        "pacs",
        (peer,),
        called_aets=frozenset({"MAINPACS"}),
        observe_until=observe_until,
        sop_class_table=sop_classes(),
    )
    decision = decide(facts(request=request), tenant)
    assert isinstance(decision, Accept), decision
    return decision


def answer_to(request: AAssociateRQ) -> AAssociateAC:
    results = tuple(
        PresentationContextResult(context.context_id, 0, context.transfer_syntaxes[0], Span(0, 0))
        for context in request.presentation_contexts
    )
    return AAssociateAC(1, results, UserInformation(Span(0, 0)))


def of(request: AAssociateRQ, accept: Accept) -> Inspection:
    return inspection_of(accept, request, answer_to(request), accept.contexts, lambda refused: None)


def passes(inspection: Inspection, encoded: bytes, context_id: int = 1) -> bool:
    verdict = inspection.request(context_id, decode_command(encoded), from_requestor=True)
    if isinstance(verdict, RefusedCommand):
        assert verdict.status == NOT_AUTHORIZED
        return False
    return True


@pytest.mark.parametrize(
    ("words", "listed", "context", "field", "named", "allowed"),
    [
        # A modality may query the worklist. On that context it must not query studies.
        (["modality"], None, WORKLIST, C_FIND, WORKLIST, True),
        (["modality"], None, WORKLIST, C_FIND, FIND, False),
        (["worklist", "find"], None, WORKLIST, C_FIND, FIND, True),
        (["find"], [FIND], FIND, C_FIND, FIND_PATIENT, False),
        (["all"], [FIND], FIND, C_FIND, FIND_PATIENT, False),
        (["all"], None, FIND, C_FIND, "no UID at all", True),
        (["store_standard"], None, CT, C_STORE, MR, True),
        (["store_standard"], None, CT, C_STORE, PRIVATE, False),
        (["store"], None, CT, C_STORE, PRIVATE, True),
        (["store"], [CT], CT, C_STORE, MR, False),
        (["store"], [CT], CT, C_STORE, CT + "\0", True),
        (["other", "store"], None, PRIVATE, C_FIND, FIND, False),
        (["other"], None, PRIVATE, C_FIND, FIND + "\0" + "1", False),
        (["other"], None, PRIVATE, C_FIND, PRIVATE + ".1", True),
        (["storage_commitment"], None, COMMITMENT, N_ACTION, UPS_PUSH, False),
        # One context of printing or of UPS carries commands of other classes.
        (["print"], None, PRINT_META, N_CREATE, FILM_SESSION, True),
        (["print"], [PRINT_META], PRINT_META, N_CREATE, FILM_SESSION, True),
        (["print", "mpps"], [PRINT_META], PRINT_META, N_CREATE, "1.2.840.10008.3.1.2.3.3", False),
        (["ups"], [UPS_PULL], UPS_PULL, N_ACTION, UPS_PUSH, True),
    ],
)
def test_the_sop_class_of_a_command_is_judged_too(
    words: list[str], listed: list[str] | None, context: str, field: int, named: str, allowed: bool
) -> None:
    request = proposing(context)
    accept = decided(request, *words, sop_classes=None if listed is None else frozenset(listed))
    encoded = command(field, sop_class=named)
    if field == N_ACTION:  # on an existing instance: the requested SOP class
        encoded = encoded[:12] + encoded[12:].replace(b"\0\0\x02\0", b"\0\0\x03\0", 1)
    assert passes(of(request, accept), encoded) is allowed


def test_a_request_that_names_two_classes_is_ambiguous() -> None:
    requested = (0x0003, FIND.encode() + b"\0")
    with pytest.raises(DimseError):
        decode_command(command(C_FIND, sop_class=WORKLIST, more=[requested]))
    both = decode_command(command(C_FIND, sop_class=FIND, more=[requested]))
    assert both.sop_class == FIND.encode() + b"\0"
    only = decode_command(command(N_ACTION, sop_class=COMMITMENT))
    assert only.sop_class == COMMITMENT.encode(), "the only one there is"


@pytest.mark.parametrize("destination", ["EVIL\0_WS", "EVIL\\A_WS", "\0A_WS", "EVIL_THAT_IS_TOO_LONG_WS", "EV\nIL_WS"])
def test_a_destination_that_parsers_read_differently_matches_no_pattern(destination: str) -> None:
    request = proposing(MOVE)
    inspection = of(request, decided(request, "move", move_destinations=("self", "*_WS")))

    def asked(title: str) -> object:
        encoded = command(C_MOVE, sop_class=MOVE, destination=title)
        return inspection.request(1, decode_command(encoded), from_requestor=True)

    refused = asked(destination)
    assert isinstance(refused, RefusedCommand)
    assert refused.status == MOVE_DESTINATION_UNKNOWN
    assert len(refused.detail) < 60
    assert not isinstance(asked("ROOM1_WS"), RefusedCommand)
    assert not isinstance(asked("CT1 \0"), RefusedCommand)


def test_after_a_reload_only_what_the_new_rules_allow_passes() -> None:
    request = proposing(CT, FIND, MOVE)
    inspection = of(request, decided(request, "store", "find", "move", move_destinations=None))
    assert passes(inspection, command(C_FIND, sop_class=FIND), 3)

    narrower = decided(request, "store", "move", sop_classes=frozenset({CT, MOVE}), move_destinations=("WS",))
    narrow(inspection, narrower, answer_to(request).presentation_contexts, "CT1")
    assert not passes(inspection, command(C_FIND, sop_class=FIND), 3)
    assert passes(inspection, command(C_STORE, sop_class=CT))
    assert not passes(inspection, command(C_STORE, sop_class=MR))
    moved = inspection.request(
        5, decode_command(command(C_MOVE, sop_class=MOVE, destination="ELSEWHERE")), from_requestor=True
    )
    assert isinstance(moved, RefusedCommand)
    found = decode_command(command(C_FIND | RESPONSE, sop_class=FIND))
    assert inspection.response(3, found, from_requestor=False), "a request from before the reload is still answered"

    narrow(inspection, decided(request, "all"), answer_to(request).presentation_contexts, "CT1")
    assert passes(inspection, command(C_FIND, sop_class=FIND), 3)
    assert not passes(inspection, command(C_STORE, sop_class=CT), 3), "a reload adds nothing to the first decision"


def test_after_a_reload_a_context_may_have_lost_its_transfer_syntax() -> None:
    request = proposing(CT, transfer_syntaxes=(EXPLICIT, IMPLICIT_VR_LITTLE_ENDIAN))
    inspection = of(request, decided(request, "store"))
    answered = answer_to(request).presentation_contexts
    narrow(inspection, decided(request, "store", transfer_syntaxes=frozenset({EXPLICIT})), answered, "CT1")
    assert passes(inspection, command(C_STORE, sop_class=CT))
    implicit = frozenset({IMPLICIT_VR_LITTLE_ENDIAN})
    narrow(inspection, decided(request, "store", transfer_syntaxes=implicit), answered, "CT1")
    assert not passes(inspection, command(C_STORE, sop_class=CT))


def test_after_a_reload_that_ends_observing_only_allowed_requests_pass() -> None:
    request = proposing(CT, FIND)
    accept = decided(request, "store", observe_until=NOW + 60)
    inspection = inspection_of(accept, request, answer_to(request), (1, 3), lambda refused: None)
    assert passes(inspection, command(C_FIND, sop_class=FIND), 3)
    narrow(inspection, decided(request, "store"), answer_to(request).presentation_contexts, "CT1")
    assert not passes(inspection, command(C_FIND, sop_class=FIND), 3)
    found = decode_command(command(C_FIND | RESPONSE, sop_class=FIND))
    assert inspection.response(3, found, from_requestor=False)
