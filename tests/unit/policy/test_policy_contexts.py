"""Which presentation contexts live, and what else of a request the operations of a peer leave."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.dictionary import sop_classes
from proxy.dimse.services import PRESETS, UNKNOWN, Operation, expand
from proxy.policy import Accept, Peer, Reason, Refuse, Reject, StepOutcome, Tenant, move_allowed
from proxy.policy.decision import decide
from tests.support.requests import IMPLICIT_VR_LITTLE_ENDIAN, NOW, VERIFICATION, facts, proposing

CT, MR, FIND, GET = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.2.2.1",
    "1.2.840.10008.5.1.4.1.2.2.3",
)
COMMITMENT, PRIVATE = "1.2.840.10008.1.20.1", "1.3.12.2.1107.5.9.1"
EXPLICIT, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.70"
PROPOSED = (VERIFICATION, CT, MR, FIND, GET, COMMITMENT, PRIVATE)


def tenant(*words: str, observe_until: float | None = None, fold: bool = False, **of_peer: Any) -> Tenant:
    peer = dataclasses.replace(Peer("ct1", ("CT1",), expand(words), where="config.yaml:9"), **of_peer)
    return Tenant(
        "hospital",
        "pacs",
        (peer,),
        called_aets=frozenset({"MAINPACS"}),
        observe_until=observe_until,
        fold_case=fold,
        rewrite_called_aet=None,
        sop_class_table=sop_classes(),
    )


def accepted(of: Tenant, **request: Any) -> Accept:
    proposed = request.pop("proposed", PROPOSED)
    decision = decide(facts(request=proposing(*proposed, **request)), of)
    assert isinstance(decision, Accept), decision
    return decision


def kept(of: Tenant, **request: Any) -> set[str]:
    """The abstract syntaxes that are left."""
    proposed = request.get("proposed", PROPOSED)
    ids = accepted(of, **request).keep_contexts
    return set(proposed) if ids is None else {proposed[number // 2] for number in ids}


@pytest.mark.parametrize(
    ("words", "scp_roles", "expected"),
    [
        (["all"], [], set(PROPOSED)),
        (["echo"], [], {VERIFICATION}),
        (["store"], [], {CT, MR, PRIVATE}),
        (["store_standard"], [], {CT, MR}),
        (["modality"], [], {VERIFICATION, CT, MR, COMMITMENT, PRIVATE}),
        (["viewer"], [], {VERIFICATION, FIND, GET}),
        (["viewer"], [CT], {VERIFICATION, FIND, GET, CT}),
        (["get"], [CT, PRIVATE], {GET, CT, PRIVATE}),
        (["get", "store_standard"], [], {GET, CT, MR}),
        (["find"], [CT], {FIND}),
        (["echo", "other"], [], {VERIFICATION, PRIVATE}),
    ],
)
def test_contexts_live_by_operation(words: list[str], scp_roles: list[str], expected: set[str]) -> None:
    assert kept(tenant(*words), scp_roles=scp_roles) == expected


def test_all_that_is_kept_is_named_by_its_class() -> None:
    decision = accepted(tenant("store"))
    assert {number: (item.operation, item.group) for number, item in decision.contexts.items()} == {
        3: (Operation.STORE_STANDARD, "ct"),
        5: (Operation.STORE_STANDARD, "mr"),
        13: (Operation.STORE, "other"),
    }
    assert decision.keep_contexts == decision.contexts.keys()
    assert accepted(tenant("all")).contexts.keys() == {1, 3, 5, 7, 9, 11, 13}


def test_where_every_context_is_kept_none_is_named() -> None:
    assert accepted(tenant("store"), proposed=(CT, MR)).keep_contexts is None


def test_only_listed_sop_classes_live() -> None:
    of = tenant("modality", sop_classes=frozenset({VERIFICATION, CT, FIND}))
    assert kept(of) == {VERIFICATION, CT}
    assert kept(tenant("store", sop_classes=frozenset({PRIVATE}))) == {PRIVATE}


def test_a_context_needs_one_transfer_syntax_that_stays() -> None:
    of = tenant("all", transfer_syntaxes=frozenset({IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT}))
    decision = accepted(of, proposed=(CT,), transfer_syntaxes=(JPEG, EXPLICIT))
    assert decision.keep_contexts is None
    assert decision.transfer_syntaxes == {IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT}
    refused = decide(facts(request=proposing(CT, transfer_syntaxes=(JPEG,))), of)
    assert isinstance(refused, Refuse)
    assert refused.reason is Reason.NO_PERMITTED_CONTEXT
    assert "none of its transfer syntaxes is one of the peer's transfer_syntaxes" in refused.detail
    assert accepted(tenant("all")).transfer_syntaxes is None


@pytest.mark.parametrize(
    ("words", "offered", "stays"),
    [
        (["store"], [CT], frozenset()),
        (["store", "get"], [CT, PRIVATE], None),
        (["store", "other"], [CT, PRIVATE], {PRIVATE}),
        (["storage_commitment"], [COMMITMENT], None),
        (["modality"], [COMMITMENT, CT], {COMMITMENT}),
        (["all"], [CT, COMMITMENT, PRIVATE], None),
        (["modality"], [], None),
    ],
)
def test_the_scp_role_of_storage_is_for_get(words: list[str], offered: list[str], stays: set[str] | None) -> None:
    assert accepted(tenant(*words), scp_roles=offered).scp_roles == stays


def test_a_request_of_which_nothing_is_left_is_refused_with_the_reasons() -> None:
    decision = decide(facts(request=proposing(CT, PRIVATE, MR, CT, scp_roles=[])), tenant("echo", "get"))
    assert isinstance(decision, Refuse)
    assert (decision.reason, decision.answer) == (Reason.NO_PERMITTED_CONTEXT, Reject(1, 1, 1))
    assert decision.detail == (
        "peer ct1: none of 4 presentation contexts may be used "
        f"({CT}, {MR}: it needs store or store_standard, which is not in allow (echo, get), or for C-GET the SCP "
        f"role in the request; {PRIVATE}: as a private or unknown class it needs store or other, which is not in "
        "allow (echo, get), or for C-GET the SCP role in the request)"
    )
    assert decision.trace[-1].where == "config.yaml:9"


def test_what_is_cut_is_told_in_the_trace() -> None:
    proposed = (VERIFICATION, CT, PRIVATE)
    step = accepted(tenant("echo"), proposed=proposed).trace[-1]
    assert (step.rule, step.outcome) == ("contexts", StepOutcome.PASS)
    assert step.detail == "peer ct1: 1 of 3 presentation contexts may be used"
    step = accepted(tenant("echo", observe_until=NOW + 1), proposed=proposed).trace[-1]
    assert (step.rule, step.outcome) == ("contexts", StepOutcome.WOULD_REFUSE)
    assert step.detail == (
        "peer ct1: 1 of 3 presentation contexts may be used "
        f"({CT}: it needs store or store_standard, which is not in allow (echo); "
        f"{PRIVATE}: as a private or unknown class it needs store or other, which is not in allow (echo)); "
        "all of them pass, because of observe_until"
    )


def test_observe_mode_cuts_nothing_and_remembers_what_it_would_keep() -> None:
    of = tenant("echo", observe_until=NOW + 1, transfer_syntaxes=frozenset({IMPLICIT_VR_LITTLE_ENDIAN}))
    decision = accepted(of, scp_roles=[CT])
    assert decision.observing
    assert (decision.keep_contexts, decision.transfer_syntaxes, decision.scp_roles) == (None, None, None)
    assert decision.contexts.keys() == {1}
    assert decision.would_refuse == ()
    over = dataclasses.replace(of, observe_until=NOW)
    assert not accepted(over).observing


def test_observe_mode_lets_pass_a_request_of_which_nothing_would_be_left() -> None:
    decision = accepted(tenant("echo", observe_until=NOW + 1), proposed=(CT,))
    assert decision.would_refuse == (Reason.NO_PERMITTED_CONTEXT,)
    assert decision.keep_contexts is None
    assert decision.contexts == {}


def test_an_unknown_peer_that_observe_mode_lets_pass_may_do_everything() -> None:
    decision = accepted(dataclasses.replace(tenant("echo", observe_until=NOW + 1)), calling="STRANGER")
    assert decision.peer is None
    assert decision.operations == PRESETS["all"]
    assert len(decision.contexts) == len(PROPOSED)
    assert move_allowed(decision, "ANYWHERE", "STRANGER")


@pytest.mark.parametrize(
    ("destinations", "destination", "allowed"),
    [
        (("self",), "CT1", True),
        (("self",), "CT2", False),
        (("self",), "ct1", False),
        (("self",), "self", False),
        (("self",), "", False),
        (("WS*", "AI_STORE"), "WS17", True),
        (("WS*", "AI_STORE"), "AI_STORE", True),
        (("WS*", "AI_STORE"), "CT1", False),
        (("WS?",), "WS17", False),
        (("self", "AI"), "AI", True),
        (("*",), "ANY", True),
        (None, "", True),
    ],
)
def test_move_destinations(destinations: tuple[str, ...] | None, destination: str, allowed: bool) -> None:
    decision = accepted(tenant("all", move_destinations=destinations))
    assert move_allowed(decision, destination, "CT1") is allowed


def test_move_destinations_are_compared_as_titles_are() -> None:
    decision = accepted(tenant("all", move_destinations=("self", "Ws*"), fold=True))
    assert move_allowed(decision, "ct1", "CT1")
    assert move_allowed(decision, "wS2", "CT1")
    assert not move_allowed(decision, "SELF", "CT1")


ANY_CLASS = st.sampled_from([*sop_classes(), PRIVATE, "1.2.840.10008.5.1.4.1.1.9999"])
WORDS = st.sets(st.sampled_from([*Operation, "modality", "viewer"]), min_size=1)


@given(
    words=WORDS,
    proposed=st.lists(ANY_CLASS, min_size=1, max_size=8),
    offered=st.sets(ANY_CLASS, max_size=4),
    listed=st.none() | st.frozensets(ANY_CLASS, max_size=4),
    syntaxes=st.sets(st.sampled_from([IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT, JPEG]), min_size=1),
    stay=st.none() | st.frozensets(st.sampled_from([IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT, JPEG]), min_size=1),
)
def test_nothing_is_kept_that_is_not_allowed(
    words: set[str],
    proposed: list[str],
    offered: set[str],
    listed: frozenset[str] | None,
    syntaxes: set[str],
    stay: frozenset[str] | None,
) -> None:
    operations = expand(words)
    of = tenant(*words, sop_classes=listed, transfer_syntaxes=stay)
    request = proposing(*proposed, scp_roles=offered, transfer_syntaxes=tuple(syntaxes))
    decision = decide(facts(request=request), of)
    for context in request.presentation_contexts:
        uid = context.abstract_syntax
        operation = sop_classes().get(uid, UNKNOWN).operation
        storing = operations & {"store", "store_standard" if operation == "store_standard" else "other"}
        by_get = "get" in operations and uid in offered
        is_storage = operation in ("store", "store_standard")
        lives = (
            bool(storing or by_get) if is_storage else operation in operations,
            listed is None or uid in listed,
            stay is None or bool(stay & syntaxes),
        )
        here = isinstance(decision, Accept) and (
            decision.keep_contexts is None or context.context_id in decision.keep_contexts
        )
        assert here is all(lives), (uid, operation, lives)
