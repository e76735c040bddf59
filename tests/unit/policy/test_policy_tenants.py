"""Which tenant after the request (rows 10, 16, 19 and 27, docs/robustness.md)."""

import dataclasses
import ipaddress

import pytest

from proxy.policy import (
    Accept,
    ClientAuth,
    ClientAuthMode,
    Entrance,
    ListenerPolicy,
    Peer,
    Reason,
    Refuse,
    Reject,
    StepOutcome,
    Tenant,
    VerifiedCertificate,
    entrance_for_sni,
    judge,
    select_tenant,
)
from tests.support.requests import NOW, certificate, facts

ANY_PEER = (Peer("any", ("*",), frozenset({"all"})),)
A_DEVICE = certificate("a1", issuers=("ca-a",))
B_DEVICE = certificate("b1", issuers=("intermediate", "ca-b"))
PINNED = certificate("pin")


def tenant(name: str, *titles: str, networks: str | None = None, **values: object) -> Tenant:
    """A tenant with these called AE titles, any if there are none."""
    held = (ipaddress.ip_network(networks),) if networks else None
    plain = Tenant(name, f"{name}-pacs", ANY_PEER, (f"{name}.org",), held, frozenset(titles) or None)
    return dataclasses.replace(plain, **values)


def auth(mode: str, *cas: str, pinned: tuple[str, ...] = ()) -> ClientAuth:
    return ClientAuth(ClientAuthMode(mode), {ca: frozenset({ca}) for ca in cas}, frozenset(pinned))


def chosen(listener: ListenerPolicy, sni: str | None, **of_facts: object) -> str:
    """The name of the tenant that takes it, or the reason why none does, from SNI to the last rule."""
    entrance = entrance_for_sni(listener, sni)
    assert not isinstance(entrance, Refuse)
    decision = judge(listener, entrance, facts(sni=sni, **of_facts))
    assert isinstance(decision, Accept | Refuse)
    return decision.tenant.name if isinstance(decision, Accept) else decision.reason


A, B, OPEN = tenant("a", "APACS", networks="10.1.0.0/16"), tenant("b", "BPACS", "RISWL"), tenant("open")
TWO = ListenerPolicy("l", (Entrance(A), Entrance(B)))


@pytest.mark.parametrize(
    ("sni", "source", "called", "expected"),
    [
        ("a.org", "10.1.0.1", "APACS", "a"),
        ("a.org", "10.2.0.1", "APACS", Reason.SOURCE_NOT_ALLOWED),
        ("a.org", "10.1.0.1", "BPACS", Reason.TENANT_MISMATCH),
        ("a.org", "10.1.0.1", "NOBODY", Reason.CALLED_AET_UNKNOWN),
        ("b.org", "10.1.0.1", "APACS", Reason.TENANT_MISMATCH),
        ("b.org", "10.1.0.1", "bpacs", Reason.CALLED_AET_UNKNOWN),
        (None, "10.1.0.1", "APACS", "a"),
        (None, "::ffff:10.1.0.1", "APACS", "a"),
        (None, "10.1.0.1", "BPACS", "b"),
        (None, "10.2.0.1", "APACS", Reason.CALLED_AET_UNKNOWN),
        (None, "10.1.0.1", "NOBODY", Reason.CALLED_AET_UNKNOWN),
    ],
)
def test_sni_chooses_and_without_it_everything_must_match(
    sni: str | None, source: str, called: str, expected: str
) -> None:
    assert chosen(TWO, sni, source=source, called=called) == expected


def test_routes_and_folded_titles_belong_to_a_tenant_too() -> None:
    ris = tenant("ris", "X", routes={"RISWL": "ris"}, fold_case=True)
    listener = ListenerPolicy("l", (Entrance(tenant("a", "APACS")), Entrance(ris)))
    assert chosen(listener, None, called="riswl") == "ris"
    assert chosen(listener, "a.org", called="riswl") == Reason.TENANT_MISMATCH


def test_several_matching_tenants_are_never_guessed() -> None:
    listener = ListenerPolicy("l", (Entrance(B), Entrance(OPEN)))
    refusal = judge(listener, None, facts(called="BPACS"))
    assert isinstance(refusal, Refuse)
    assert (refusal.reason, refusal.answer, refusal.tenant) == (Reason.TENANT_AMBIGUOUS, Reject(1, 1, 1), None)
    assert "b, open" in refusal.detail


def test_the_refusal_says_in_words_what_excluded_each_tenant() -> None:
    refusal = select_tenant(TWO, None, facts(called="APACS", source="10.2.0.1"))
    assert isinstance(refusal, Refuse)
    assert refusal.detail == (
        "no tenant of listener l accepts it (tenant a: source 10.2.0.1 is not in its networks (10.1.0.0/16); "
        "tenant b: called AE title 'APACS' is not one of its titles)"
    )
    assert refusal.trace[-1].outcome is StepOutcome.FAIL


CERTIFICATES = [
    # mode of the tenant, certificate, without SNI at a listener that asks, with SNI
    ("none", None, "b", "b"),
    ("none", A_DEVICE, "b", "b"),
    ("optional", None, "b", "b"),
    ("optional", A_DEVICE, Reason.CLIENT_CERTIFICATE_WRONG_CA, Reason.CLIENT_CERTIFICATE_WRONG_CA),
    ("optional", B_DEVICE, "b", "b"),
    ("optional", PINNED, "b", "b"),
    ("required", None, Reason.CERTIFICATE_REQUIRED, Reason.CERTIFICATE_REQUIRED),
    ("required", A_DEVICE, Reason.CLIENT_CERTIFICATE_WRONG_CA, Reason.CLIENT_CERTIFICATE_WRONG_CA),
    ("required", B_DEVICE, "b", "b"),
    ("required", PINNED, "b", "b"),
]


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(("mode", "shown", "without_sni", "with_sni"), CERTIFICATES)
def test_client_authentication_binds_at_the_tenant(
    mode: str, shown: VerifiedCertificate | None, without_sni: str, with_sni: str, alone: bool
) -> None:
    entrance = Entrance(B, auth(mode, "ca-b", pinned=("pin",)))
    entrances = (entrance,) if alone else (Entrance(A), entrance)
    listener = ListenerPolicy("l", entrances, client_auth=auth("optional", "ca-a", "ca-b"))
    assert chosen(listener, None, called="BPACS", certificate=shown) == without_sni
    assert chosen(listener, "b.org", called="BPACS", certificate=shown) == with_sni


@pytest.mark.parametrize("default", [None, "a", "b", "open"])
@pytest.mark.parametrize("shown", [None, B_DEVICE])
def test_a_tenant_that_requires_what_nobody_asks_for_needs_sni(
    default: str | None, shown: VerifiedCertificate | None
) -> None:
    entrances = (Entrance(A), Entrance(B, auth("required", "ca-b")), Entrance(tenant("open")))
    listener = ListenerPolicy("l", entrances if default == "open" else entrances[:2], default_tenant=default)
    assert chosen(listener, None, called="BPACS", source="10.1.0.1", certificate=shown) == Reason.SNI_REQUIRED


@pytest.mark.parametrize("shown", [None, B_DEVICE])
def test_a_tenant_that_requires_a_certificate_is_not_reached_in_plaintext(shown: VerifiedCertificate | None) -> None:
    listener = ListenerPolicy("l", (Entrance(B, auth("required", "ca-b")),), tls=False)
    assert chosen(listener, None, called="BPACS", certificate=shown) == Reason.CERTIFICATE_REQUIRED


@pytest.mark.parametrize(
    ("source", "called", "expected"),
    [
        ("10.9.0.1", "ANY", "open"),  # matches no other tenant
        ("10.1.0.1", "APACS", "a"),  # the default does not compete
        ("10.2.0.1", "APACS", "open"),
        ("192.0.2.1", "ANY", Reason.SOURCE_NOT_ALLOWED),  # its own networks bind
        ("192.0.2.1", "BPACS", "b"),
    ],
)
def test_the_default_tenant_takes_what_matches_no_other(source: str, called: str, expected: str) -> None:
    default = Entrance(tenant("open", networks="10.0.0.0/8"))
    listener = ListenerPolicy("l", (default, Entrance(A), Entrance(B)), default_tenant="open")
    assert chosen(listener, None, source=source, called=called) == expected


def test_the_default_tenant_keeps_its_titles_and_its_client_authentication() -> None:
    default = Entrance(tenant("d", "DPACS", observe_until=NOW + 1), auth("required", "ca-a"))
    listener = ListenerPolicy("l", (Entrance(A), default), default_tenant="d", client_auth=auth("optional", "ca-a"))
    assert chosen(listener, None, called="DPACS") == Reason.CERTIFICATE_REQUIRED
    assert chosen(listener, None, called="DPACS", certificate=A_DEVICE) == "d"
    # Observed is what is nobody's; another tenant's title is not.
    assert chosen(listener, None, called="X", certificate=A_DEVICE) == "d"
    assert chosen(listener, None, called="APACS", source="10.9.0.1", certificate=A_DEVICE) == Reason.CALLED_AET_UNKNOWN


OBSERVED = tenant("a", "APACS", networks="10.1.0.0/16", observe_until=NOW + 1)


@pytest.mark.parametrize("sni", ["a.org", None])
def test_observe_mode_lets_a_foreign_source_pass_where_the_tenant_is_certain(sni: str | None) -> None:
    entrance = Entrance(OBSERVED)
    listener = ListenerPolicy("l", (entrance,) if sni is None else (entrance, Entrance(B)))
    decision = judge(listener, entrance_for_sni(listener, sni), facts(sni=sni, source="10.2.0.1", called="NOBODY"))
    assert isinstance(decision, Accept)
    assert decision.would_refuse == (Reason.SOURCE_NOT_ALLOWED, Reason.CALLED_AET_UNKNOWN)
    assert [step.outcome for step in decision.trace].count(StepOutcome.WOULD_REFUSE) == 2


def test_observe_mode_never_lifts_what_separates_tenants() -> None:
    listener = ListenerPolicy("l", (Entrance(OBSERVED), Entrance(B)))
    assert chosen(listener, "a.org", source="10.1.0.1", called="BPACS") == Reason.TENANT_MISMATCH
    assert chosen(listener, None, source="10.2.0.1", called="APACS") == Reason.CALLED_AET_UNKNOWN
    as_default = dataclasses.replace(listener, default_tenant="a")
    assert chosen(as_default, None, source="10.2.0.1", called="X") == Reason.SOURCE_NOT_ALLOWED
    twin = Entrance(dataclasses.replace(OBSERVED, name="twin"))
    listener = ListenerPolicy("l", (Entrance(OBSERVED), twin))
    assert chosen(listener, None, source="10.1.0.1", called="APACS") == Reason.TENANT_AMBIGUOUS
    for mode, asked, reason in [
        ("required", "optional", Reason.CERTIFICATE_REQUIRED),
        ("required", "none", Reason.SNI_REQUIRED),
    ]:
        listener = ListenerPolicy("l", (Entrance(OBSERVED, auth(mode, "ca-a")),), client_auth=auth(asked))
        assert chosen(listener, None, source="10.1.0.1", called="APACS") == reason


@pytest.mark.parametrize("called", ["APACS", "BPACS", "NOBODY"])
def test_where_one_tenant_wants_uniform_rejects_a_guess_without_sni_tells_nothing(called: str) -> None:
    quiet = tenant("a", "APACS", uniform_rejects=True, peers=())
    listener = ListenerPolicy("l", (Entrance(quiet), Entrance(B, auth("required", "ca-b"))))
    refusal = judge(listener, None, facts(called=called))
    assert isinstance(refusal, Refuse)
    assert refusal.answer == Reject(1, 1, 1)
    with_sni = judge(listener, listener.entrances[0], facts(called=called, sni="a.org"))
    assert isinstance(with_sni, Refuse)
    assert with_sni.answer == Reject(1, 1, 1)
