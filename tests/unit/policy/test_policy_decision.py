"""What one request gets from one tenant (rows 26, 27, 52 to 59, 81 to 84, 90 and 95 of docs/robustness.md)."""

import dataclasses
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.explain.advice import advise
from proxy.pdu import AeTitle
from proxy.policy import (
    Accept,
    Close,
    Entrance,
    Facts,
    ListenerPolicy,
    Peer,
    Reason,
    Refuse,
    Reject,
    StepOutcome,
    Tenant,
    User,
    UserConditions,
    judge,
)
from proxy.policy.decision import decide
from tests.support.requests import NOW, ae_title, associate_rq, certificate, facts

ALL = frozenset({"all"})


def peer(*aet: str, name: str = "", source: str | None = None, **values: object) -> Peer:
    network = (ipaddress.ip_network(source),) if source else None
    return dataclasses.replace(Peer(name or aet[0], aet, ALL, network, where="config.yaml:7"), **values)


def tenant(*peers: Peer, **values: object) -> Tenant:
    return dataclasses.replace(
        Tenant("hospital", "pacs", peers, called_aets=frozenset({"MAINPACS"}), routes={"RISWL": "ris"}), **values
    )


def listener(of: Tenant, **values: object) -> ListenerPolicy:
    return dataclasses.replace(ListenerPolicy("l", (Entrance(of),)), **values)


def reason(of: Tenant, what: Facts, **of_listener: object) -> Reason | None:
    """Why it is refused; None: accepted."""
    decision = judge(listener(of, **of_listener), None, what)
    assert isinstance(decision, Accept | Refuse)
    return decision.reason if isinstance(decision, Refuse) else None


OPEN = tenant(peer("*"))


@pytest.mark.parametrize(
    ("request_values", "expected", "answer"),
    [
        ({"protocol_version": 0}, Reason.PROTOCOL_VERSION, Reject(1, 2, 2)),
        ({"protocol_version": 2}, Reason.PROTOCOL_VERSION, Reject(1, 2, 2)),
        ({"protocol_version": 0xFFFE}, Reason.PROTOCOL_VERSION, Reject(1, 2, 2)),
        ({"protocol_version": 3}, None, None),
        ({"application_context": "1.2.840.10008.3.1.1.2"}, Reason.APPLICATION_CONTEXT, Reject(1, 1, 2)),
        ({"application_context": ""}, Reason.APPLICATION_CONTEXT, Reject(1, 1, 2)),
        ({"contexts": 0}, Reason.NO_PERMITTED_CONTEXT, Reject(1, 1, 1)),
        ({"contexts": 128}, None, None),
        ({"contexts": 129}, Reason.TOO_MANY_CONTEXTS, Reject(1, 1, 1)),
        ({"called": " " * 16}, Reason.CALLED_AET_UNKNOWN, Reject(1, 1, 7)),
        ({"called": ae_title("", nul_padded=True)}, Reason.CALLED_AET_UNKNOWN, Reject(1, 1, 7)),
        ({"called": "mainpacs"}, Reason.CALLED_AET_UNKNOWN, Reject(1, 1, 7)),
        ({"called": "MAINPACS2"}, Reason.CALLED_AET_UNKNOWN, Reject(1, 1, 7)),
        ({"calling": " " * 16}, Reason.CALLING_AET_UNKNOWN, Reject(1, 1, 3)),
        ({"calling": ae_title("", nul_padded=True)}, Reason.CALLING_AET_UNKNOWN, Reject(1, 1, 3)),
        ({"calling": ae_title("CT1", nul_padded=True)}, Reason.REQUEST_AMBIGUOUS, Reject(1, 1, 1)),
        ({"called": ae_title("MAINPACS", nul_padded=True)}, Reason.REQUEST_AMBIGUOUS, Reject(1, 1, 1)),
    ],
)
def test_what_a_request_must_be(request_values: dict[str, object], expected: Reason | None, answer: Reject) -> None:
    decision = judge(listener(OPEN), None, facts(request=associate_rq(**request_values)))
    if expected is None:
        assert isinstance(decision, Accept)
    else:
        assert isinstance(decision, Refuse)
        assert (decision.reason, decision.answer) == (expected, answer)


def test_the_form_of_a_request_is_never_observed_nor_opened_by_any() -> None:
    lax = dataclasses.replace(OPEN, called_aets=None, observe_until=NOW + 1)
    for request in (
        associate_rq(called=""),
        associate_rq(calling=""),
        associate_rq(contexts=0),
        associate_rq(calling=ae_title("CT1", nul_padded=True)),
    ):
        assert reason(lax, facts(request=request)) is not None


def test_the_source_must_be_in_the_listeners_networks() -> None:
    here = (ipaddress.ip_network("10.20.0.0/16"),)
    assert reason(OPEN, facts(source="10.20.1.1"), networks=here) is None
    decision = judge(listener(OPEN, networks=here), None, facts(source="10.21.1.1"))
    assert isinstance(decision, Refuse)
    assert (decision.reason, decision.answer) == (Reason.ADDRESS_DENIED, Close())


PEERS = tenant(
    peer("CT1", source="10.20.1.11/32"),
    peer("CT1", name="ct1-service", source="10.20.9.0/24"),
    peer("BAD*", name="bad", refuse=True),
    peer("MR1", name="mr-banned", source="10.20.6.6/32", refuse=True),
    peer("MR1", "MR2", source="10.20.0.0/16"),
    peer("GONE", refuse=True, source="10.20.7.7/32"),
    peer("LATE", source="10.20.0.0/16"),
    peer("LATE", name="late-refused", refuse=True),
    peer("WS*", source="10.20.2.0/24"),
    peer("ALICE", user=UserConditions(frozenset({"alice"}), frozenset({"rad"}))),
)


@pytest.mark.parametrize(
    ("calling", "source", "expected"),
    [
        ("CT1", "10.20.1.11", "CT1"),
        ("CT1", "::ffff:10.20.1.11", "CT1"),
        ("CT1", "10.20.9.9", "ct1-service"),
        ("CT1", "10.20.1.12", Reason.SOURCE_NOT_ALLOWED),  # spoofed from an unlisted address
        ("CT9", "10.20.1.11", Reason.CALLING_AET_UNKNOWN),  # listed address, unlisted title
        ("MR1", "10.20.1.11", "MR1"),
        ("MR2", "10.20.1.11", "MR1"),
        ("MR1", "10.20.6.6", Reason.PEER_REFUSED),  # first match wins
        ("LATE", "10.20.6.6", "LATE"),  # and so a refusal behind an acceptance does not
        ("LATE", "10.21.6.6", Reason.PEER_REFUSED),
        ("BAD7", "10.20.6.6", Reason.PEER_REFUSED),
        ("GONE", "10.20.7.7", Reason.PEER_REFUSED),
        ("GONE", "10.20.7.8", Reason.CALLING_AET_UNKNOWN),  # only known as refused
        ("WS1", "10.20.2.1", "WS*"),
        ("WS1", "10.20.1.11", Reason.SOURCE_NOT_ALLOWED),
        ("ws1", "10.20.2.1", Reason.CALLING_AET_UNKNOWN),
        ("ALICE", "10.20.2.1", Reason.IDENTITY_REQUIRED),
    ],
)
def test_the_first_matching_peer_wins_else_the_furthest_says_why(calling: str, source: str, expected: str) -> None:
    decision = judge(listener(PEERS), None, facts(calling=calling, source=source))
    if isinstance(decision, Accept):
        assert decision.peer is not None
        assert (decision.peer.name, decision.upstream, decision.operations) == (expected, "pacs", ALL)
    else:
        assert isinstance(decision, Refuse)
        assert decision.reason == expected
        assert decision.trace[-1].outcome is StepOutcome.FAIL


def test_a_user_matches_by_name_or_by_group() -> None:
    for user, expected in [
        (User("alice"), None),
        (User("bob", frozenset({"rad"})), None),
        (User("bob", frozenset({"it"})), Reason.IDENTITY_REQUIRED),
    ]:
        assert reason(PEERS, facts(calling="ALICE", user=user)) == expected


@pytest.mark.parametrize("fold", [False, True])
def test_a_literal_title_never_falls_to_a_pattern(fold: bool) -> None:
    catch_all = tenant(peer("*"), peer("CT1", source="10.20.1.11/32"), peer("XX", refuse=True), fold_case=fold)
    assert reason(catch_all, facts(calling="CT1", source="192.0.2.1")) is Reason.SOURCE_NOT_ALLOWED
    assert reason(catch_all, facts(calling="XX")) is Reason.PEER_REFUSED
    # Without folding `ct1` is another title and the pattern's.
    assert reason(catch_all, facts(calling="ct1", source="192.0.2.1")) == (Reason.SOURCE_NOT_ALLOWED if fold else None)


def test_folding_holds_for_called_titles_routes_and_peers() -> None:
    folded = tenant(peer("Ct1"), peer("Ws*"), fold_case=True)
    decision = judge(listener(folded), None, facts(called="riswl", calling="cT1"))
    assert isinstance(decision, Accept)
    assert (decision.upstream, decision.called_ae_title, decision.calling_ae_title) == ("ris", None, None)
    assert reason(folded, facts(called="mainPacs", calling="wS9")) is None


@pytest.mark.parametrize(("called", "upstream"), [("MAINPACS", "pacs"), ("RISWL", "ris")])
def test_the_called_ae_title_picks_the_upstream(called: str, upstream: str) -> None:
    decision = decide(facts(called=called), OPEN)
    assert isinstance(decision, Accept)
    assert decision.upstream == upstream


@pytest.mark.parametrize(
    ("field", "accept_nul", "written"),
    [
        (ae_title("CT1"), False, None),
        (ae_title("  CT1"), False, "CT1"),
        (ae_title("CT1", nul_padded=True), True, "CT1"),
    ],
)
def test_titles_that_are_read_differently_are_forwarded_in_canonical_form(
    field: AeTitle, accept_nul: bool, written: str | None
) -> None:
    lax = dataclasses.replace(OPEN, accept_nul_padding=accept_nul, called_aets=None)
    decision = judge(listener(lax), None, facts(called=field, calling=field))
    assert isinstance(decision, Accept)
    assert (decision.called_ae_title, decision.calling_ae_title) == (written, written)


def test_titles_are_rewritten_as_configured_but_a_routes_called_title_is_its_own() -> None:
    rewriting = tenant(peer("CT1", rewrite_calling_aet="A_CT1"), rewrite_called_aet="ORTHANC")
    for called, expected in [("MAINPACS", "ORTHANC"), ("RISWL", None)]:
        decision = judge(listener(rewriting), None, facts(called=called))
        assert isinstance(decision, Accept)
        assert (decision.called_ae_title, decision.calling_ae_title) == (expected, "A_CT1")


OBSERVED = dataclasses.replace(PEERS, observe_until=NOW + 1)


@pytest.mark.parametrize(
    ("calling", "called", "would_refuse"),
    [
        ("NEW", "MAINPACS", (Reason.CALLING_AET_UNKNOWN,)),
        ("WS1", "MAINPACS", (Reason.SOURCE_NOT_ALLOWED,)),
        ("BAD1", "MAINPACS", (Reason.PEER_REFUSED,)),
        ("ALICE", "MAINPACS", (Reason.IDENTITY_REQUIRED,)),
        ("NEW", "OTHER", (Reason.CALLED_AET_UNKNOWN, Reason.CALLING_AET_UNKNOWN)),
        ("CT1", "OTHER", (Reason.CALLED_AET_UNKNOWN,)),
        ("CT1", "MAINPACS", ()),
    ],
)
def test_observe_mode_notes_what_it_would_refuse(calling: str, called: str, would_refuse: tuple[Reason, ...]) -> None:
    what = facts(calling=calling, called=called)
    decision = judge(listener(OBSERVED), None, what)
    assert isinstance(decision, Accept)
    assert (decision.would_refuse, decision.upstream, decision.operations) == (would_refuse, "pacs", ALL)
    assert (decision.peer is None) == (calling != "CT1")
    outcomes = [step.outcome for step in decision.trace]
    assert outcomes.count(StepOutcome.WOULD_REFUSE) == len(would_refuse)
    # From that second on it bites, with the first of them as the reason.
    later = judge(listener(OBSERVED), None, dataclasses.replace(what, now=NOW + 1))
    assert (later.reason if isinstance(later, Refuse) else None) == next(iter(would_refuse), None)


@pytest.mark.parametrize(
    "what",
    [
        facts(calling="NEW"),
        facts(calling="WS1"),
        facts(calling="BAD1"),
        facts(called="OTHER"),
        facts(calling="ALICE"),
        facts(calling=""),
        facts(certificate=certificate(problem=Reason.CLIENT_CERTIFICATE_REVOKED)),
    ],
)
def test_uniform_rejects_say_nothing_and_the_record_keeps_the_reason(what: Facts) -> None:
    plain = judge(listener(PEERS), None, what)
    uniform = judge(listener(dataclasses.replace(PEERS, uniform_rejects=True)), None, what)
    assert isinstance(plain, Refuse)
    assert isinstance(uniform, Refuse)
    assert plain.answer != uniform.answer == Reject(1, 1, 1)
    assert plain.reason == uniform.reason


def test_the_trace_tells_the_way_in_words_with_the_lines_of_the_configuration() -> None:
    decision = judge(listener(PEERS), None, facts(calling="CT1", source="10.20.1.12"))
    assert isinstance(decision, Refuse)
    assert [(step.rule, step.outcome) for step in decision.trace] == [
        ("request", "pass"),
        ("tenant", "pass"),
        ("called_ae_title", "pass"),
        ("calling_ae_title", "pass"),
        ("peer", "skip"),
        ("peer", "skip"),
        ("peer", "fail"),
    ]
    assert decision.trace[4].detail == "peer CT1: source 10.20.1.12 is not in its from (10.20.1.11)"
    assert decision.trace[4].where == "config.yaml:7"
    assert decision.detail == decision.trace[-1].detail
    assert advise(decision, facts(calling="CT1", source="10.20.1.12")) == (
        "If 'CT1' has moved to 10.20.1.12, add that address at config.yaml:7; if not, find the device that uses its "
        "title."
    )


@pytest.mark.parametrize(
    "refused_for", [*(r for r in Reason if r.observable), Reason.TENANT_MISMATCH, Reason.UPSTREAM_TIMEOUT]
)
def test_advice_is_one_sentence_for_every_reason(refused_for: Reason) -> None:
    hostile = facts(calling="{0.__class__}", called="%s$(x)\n")
    sentence = advise(Refuse(refused_for, Reject(1, 1, 1), ""), hostile)
    assert sentence.endswith(".")
    assert "\n" not in sentence


_titles = st.text("ABab1 {}%$/.", min_size=0, max_size=16).map(ae_title)
_literals = st.lists(st.sampled_from(["A", "B", "AB", "a1", "A1"]), min_size=1, max_size=3)


@given(
    calling=_titles,
    titles=_literals,
    refuse=st.booleans(),
    fold=st.booleans(),
    source=st.sampled_from(["10.0.0.1", "192.0.2.1"]),
)
def test_an_unlisted_title_is_never_accepted_without_a_pattern(
    calling: AeTitle, titles: list[str], refuse: bool, fold: bool, source: str
) -> None:
    listed = tenant(peer(*titles, source="10.0.0.0/8", refuse=refuse), fold_case=fold)
    accepted = isinstance(judge(listener(listed), None, facts(calling=calling, source=source)), Accept)
    if fold:
        known = calling.title.upper() in {title.upper() for title in titles}
    else:
        known = calling.title in titles
    assert accepted == (known and not refuse and source == "10.0.0.1")
