"""Which request may go which way: every operation, class, direction and pair of roles."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dimse.rules import ContextRules, context_rules
from proxy.dimse.services import SOP_CLASS_GROUPS, UNKNOWN, Operation, SopClass, classify, expand, permitted

STORE, GET, FIND, MOVE, ECHO, CANCEL = 0x0001, 0x0010, 0x0020, 0x0021, 0x0030, 0x0FFF
N_EVENT_REPORT, N_GET, N_SET, N_ACTION, N_CREATE, N_DELETE = 0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0150
EVERY = {STORE, GET, FIND, MOVE, ECHO, CANCEL, N_EVENT_REPORT, N_GET, N_SET, N_ACTION, N_CREATE, N_DELETE}
UID = "1.2.3"

#: Operation of a class -> what its SCU and what its SCP asks for, where just that operation is allowed.
SERVICES = {
    Operation.ECHO: ({ECHO}, set()),
    Operation.FIND: ({FIND, CANCEL}, set()),
    Operation.WORKLIST: ({FIND, CANCEL}, set()),
    Operation.MOVE: ({MOVE, CANCEL}, set()),
    Operation.GET: ({GET, CANCEL}, set()),
    Operation.STORAGE_COMMITMENT: ({N_ACTION, N_EVENT_REPORT}, {N_EVENT_REPORT}),
    Operation.MPPS: ({N_CREATE, N_SET, N_GET}, {N_EVENT_REPORT}),
    Operation.UPS: ({N_CREATE, N_SET, N_GET, N_ACTION, FIND, CANCEL}, {N_EVENT_REPORT}),
    Operation.PRINT: ({N_CREATE, N_SET, N_GET, N_DELETE, N_ACTION}, {N_EVENT_REPORT}),
}
STORAGE = (Operation.STORE, Operation.STORE_STANDARD)
ROLES = [(True, False), (False, True), (True, True), (False, False)]


def rules(operation: Operation, *words: str, scu: bool = True, scp: bool = False) -> ContextRules:
    return context_rules(SopClass(operation, "ct"), UID, expand(words), requestor_scu=scu, requestor_scp=scp)


@pytest.mark.parametrize(("scu", "scp"), ROLES)
@pytest.mark.parametrize("operation", SERVICES)
def test_a_service_is_asked_for_by_its_scu_and_reports_by_its_scp(operation: Operation, scu: bool, scp: bool) -> None:
    of_scu, of_scp = SERVICES[operation]
    found = rules(operation, operation, scu=scu, scp=scp)
    assert found.from_requestor == (of_scu if scu else set()) | (of_scp if scp else set())
    assert found.from_acceptor == (of_scp if scu else set()) | (of_scu if scp else set())
    assert (found.group, found.abstract_syntax) == ("ct", UID)


@pytest.mark.parametrize(("operation", "word"), [*itertools.product(Operation, Operation)])
def test_an_operation_opens_no_class_of_another(operation: Operation, word: Operation) -> None:
    """But for storage, which has rules of its own: below."""
    if operation is word or operation in STORAGE:
        return
    for scu, scp in ROLES:
        found = rules(operation, word, scu=scu, scp=scp)
        assert not found.from_requestor, (operation, word)
        assert not found.from_acceptor, (operation, word)


@pytest.mark.parametrize(
    ("of_class", "words", "stores", "retrieves"),
    [
        (Operation.STORE_STANDARD, ["store"], True, False),
        (Operation.STORE_STANDARD, ["store_standard"], True, False),
        (Operation.STORE_STANDARD, ["get"], False, True),
        (Operation.STORE_STANDARD, ["store", "get"], True, True),
        (Operation.STORE_STANDARD, ["other"], False, False),
        (Operation.STORE_STANDARD, ["modality"], True, False),
        (Operation.STORE_STANDARD, ["viewer"], False, True),
        (Operation.STORE_STANDARD, ["echo", "find", "move", "worklist", "mpps", "ups", "print"], False, False),
        (Operation.STORE, ["store"], True, False),
        (Operation.STORE, ["store_standard"], False, False),
        (Operation.STORE, ["get"], False, True),
        (Operation.STORE, ["store_standard", "get"], False, True),
        (Operation.STORE, ["modality"], True, False),
        (Operation.STORE, ["viewer"], False, True),
    ],
)
@pytest.mark.parametrize(("scu", "scp"), ROLES)
def test_instances_go_up_by_store_and_come_down_by_get(
    of_class: Operation, words: list[str], stores: bool, retrieves: bool, scu: bool, scp: bool
) -> None:
    found = rules(of_class, *words, scu=scu, scp=scp)
    assert found.from_requestor == ({STORE} if stores and scu else set())
    assert found.from_acceptor == ({STORE} if retrieves and scp else set())


@pytest.mark.parametrize("operation", [Operation.STORE, Operation.OTHER])
def test_other_opens_private_and_remaining_classes_entirely(operation: Operation) -> None:
    for scu, scp in ROLES:
        found = rules(operation, "other", scu=scu, scp=scp)
        assert found.from_requestor == found.from_acceptor == EVERY


@pytest.mark.parametrize("operation", Operation)
def test_all_opens_every_class_entirely(operation: Operation) -> None:
    found = rules(operation, "echo", "all")
    assert found.from_requestor == found.from_acceptor == EVERY


@pytest.mark.parametrize("operation", Operation)
def test_nothing_passes_where_the_policy_would_have_cut_the_context(operation: Operation) -> None:
    assert rules(operation, scp=True) == ContextRules(frozenset(), frozenset(), "ct", UID)


def test_presets_are_written_out() -> None:
    assert expand(["modality"]) == {"echo", "store", "worklist", "mpps", "storage_commitment"}
    assert expand(["viewer", "print"]) == {"echo", "find", "move", "get", "print"}
    assert expand(["store", "all", "viewer"]) == {"all"}
    assert expand(["echo"]) == {"echo"}


def test_what_the_standard_does_not_know_may_be_stored_and_nothing_else() -> None:
    assert classify("1.3.12.2.1107.5.9.1", {}) is UNKNOWN
    assert SopClass(Operation.STORE, "other") == UNKNOWN
    assert UNKNOWN.group in SOP_CLASS_GROUPS


WORDS = st.sets(st.sampled_from([*Operation, "all", "modality", "viewer"]), min_size=1)


@given(WORDS, st.sampled_from(Operation), st.sampled_from(ROLES))
def test_a_class_that_is_not_permitted_carries_no_request(
    words: set[str], operation: Operation, roles: tuple[bool, bool]
) -> None:
    """What cuts contexts and what judges commands agree: a context that is cut would have carried nothing."""
    scu, scp = roles
    may = permitted(expand(words))
    found = rules(operation, *words, scu=scu, scp=scp)
    kept = operation in may.as_scu or (scp and operation in may.as_scp)
    assert kept or not (found.from_requestor or found.from_acceptor)


@given(WORDS, WORDS, st.sampled_from(Operation), st.sampled_from(ROLES))
def test_a_further_word_takes_nothing_away(
    words: set[str], more: set[str], operation: Operation, roles: tuple[bool, bool]
) -> None:
    scu, scp = roles
    fewer, wider = (rules(operation, *chosen, scu=scu, scp=scp) for chosen in (words, words | more))
    assert fewer.from_requestor <= wider.from_requestor
    assert fewer.from_acceptor <= wider.from_acceptor
