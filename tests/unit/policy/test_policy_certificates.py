"""Peers that are bound to a client certificate (rows 24 to 27, docs/robustness.md)."""

import ipaddress

import pytest

from proxy.policy import (
    Accept,
    CertificateConditions,
    ClientAuth,
    ClientAuthMode,
    Entrance,
    ListenerPolicy,
    Peer,
    Reason,
    Refuse,
    Reject,
    Tenant,
    VerifiedCertificate,
    judge,
)
from proxy.policy.decision import decide
from tests.support.requests import certificate, facts

CA = {"root-2024": frozenset({"devices-2024"}), "root-2026": frozenset({"devices-2026"})}
AUTH = ClientAuth(ClientAuthMode.OPTIONAL, CA, frozenset({"pinned", "other-pinned"}))
NAMES = {
    "san_dns": ("ct1.rad.example.org", "backup.example.org"),
    "san_uri": ("spiffe://example.org/ct/1",),
    "subject_cn": ("CT1",),
}
DEVICE = certificate("device", issuers=("intermediate", "root-2026"), **NAMES)
SELF_SIGNED = certificate("pinned", **NAMES)
FOREIGN = certificate("foreign", issuers=("foreign-root",), **NAMES)


def refused_for(
    conditions: CertificateConditions, shown: VerifiedCertificate | None, *more: Peer, auth: ClientAuth = AUTH
) -> Reason | None:
    """Why CT1, bound by these conditions, is refused; None: accepted."""
    tenant = Tenant("t", "pacs", (Peer("ct1", ("CT1",), frozenset({"all"}), cert=conditions), *more))
    listener = ListenerPolicy("l", (Entrance(tenant, auth),), client_auth=AUTH)
    decision = judge(listener, None, facts(certificate=shown))
    assert isinstance(decision, Accept | Refuse)
    return decision.reason if isinstance(decision, Refuse) else None


@pytest.mark.parametrize(
    ("conditions", "shown", "met"),
    [
        (CertificateConditions(san_dns=("ct1.rad.example.org",)), DEVICE, True),
        (CertificateConditions(san_dns=("*.rad.example.org",)), DEVICE, True),
        (CertificateConditions(san_dns=("*.example.org",)), DEVICE, True),  # any one: the second name
        (CertificateConditions(san_dns=("*.other.org", "mr1.rad.example.org")), DEVICE, False),
        (CertificateConditions(san_uri=("spiffe://example.org/ct/*",)), DEVICE, True),
        (CertificateConditions(san_uri=("spiffe://example.org/*",)), DEVICE, False),
        (CertificateConditions(subject_cn=("CT1",)), DEVICE, True),
        (CertificateConditions(subject_cn=("CT1\0",)), DEVICE, False),
        (CertificateConditions(subject_cn=("CT*",)), DEVICE, False),  # no patterns there
        (CertificateConditions(sha256=frozenset({"device"})), DEVICE, True),
        (CertificateConditions(sha256=frozenset({"other"})), DEVICE, False),
        (CertificateConditions(sha256=frozenset()), DEVICE, False),
        (CertificateConditions(spki_sha256=frozenset({"spki-device"})), DEVICE, True),
        (CertificateConditions(spki_sha256=frozenset({"device"})), DEVICE, False),
        (CertificateConditions(ca=("devices-2026",)), DEVICE, True),
        (CertificateConditions(ca=("devices-2024",)), DEVICE, False),
        (CertificateConditions(ca=("root-2026",)), DEVICE, False),  # a name, not a fingerprint
        # Every kind that is given must match.
        (CertificateConditions(san_dns=("ct1.rad.example.org",), ca=("devices-2026",)), DEVICE, True),
        (CertificateConditions(san_dns=("ct1.rad.example.org",), ca=("devices-2024",)), DEVICE, False),
        (CertificateConditions(sha256=frozenset({"device"}), subject_cn=("MR1",)), DEVICE, False),
        # Pinned: the one certificate, whatever issued it or whom it names.
        (CertificateConditions(file=frozenset({"pinned"})), SELF_SIGNED, True),
        (CertificateConditions(file=frozenset({"other-pinned"})), SELF_SIGNED, False),
        (CertificateConditions(file=frozenset({"pinned"}), subject_cn=("CT1",)), SELF_SIGNED, True),
        (CertificateConditions(file=frozenset({"pinned"}), ca=("devices-2026",)), SELF_SIGNED, False),
        (CertificateConditions(file=frozenset({"pinned"})), DEVICE, False),
        (CertificateConditions(), DEVICE, True),
    ],
)
def test_conditions(conditions: CertificateConditions, shown: VerifiedCertificate, met: bool) -> None:
    assert refused_for(conditions, shown) == (None if met else Reason.CERTIFICATE_NOT_BOUND)
    assert refused_for(conditions, None) is Reason.CERTIFICATE_REQUIRED


@pytest.mark.parametrize("kind", ["san_dns", "san_uri", "subject_cn"])
def test_a_pinned_certificate_names_nobody_but_its_own_peer(kind: str) -> None:
    conditions = CertificateConditions(**{kind: NAMES[kind]})
    assert refused_for(conditions, DEVICE) is None
    assert refused_for(conditions, SELF_SIGNED) is Reason.CERTIFICATE_NOT_BOUND
    assert refused_for(CertificateConditions(), SELF_SIGNED) is Reason.CERTIFICATE_NOT_BOUND


def test_what_a_pinned_certificate_issued_is_nothing() -> None:
    forged = certificate("forged", issuers=("pinned",), **NAMES)
    assert refused_for(CertificateConditions(san_dns=NAMES["san_dns"]), forged) is Reason.CLIENT_CERTIFICATE_WRONG_CA
    assert refused_for(CertificateConditions(file=frozenset({"pinned"})), forged) is Reason.CLIENT_CERTIFICATE_WRONG_CA


def test_names_of_another_tenants_ca_count_for_nothing_where_the_tenant_asks_for_none() -> None:
    lax = ClientAuth(ClientAuthMode.NONE, CA)
    named = CertificateConditions(san_dns=NAMES["san_dns"])
    assert refused_for(named, FOREIGN, auth=lax) is Reason.CERTIFICATE_NOT_BOUND
    assert refused_for(named, DEVICE, auth=lax) is None


def test_a_certificate_that_is_not_asked_for_counts_for_nothing() -> None:
    tenant = Tenant("t", "pacs", (Peer("ct1", ("CT1",), frozenset({"all"}), cert=CertificateConditions(ca=("c",))),))
    auth = ClientAuth(ClientAuthMode.NONE, {"root-2026": frozenset({"c"})})
    for listener, entrance in [
        (ListenerPolicy("plain", (Entrance(tenant, auth),), tls=False, client_auth=AUTH), None),
        (ListenerPolicy("tls", (Entrance(tenant, auth),)), None),
        (ListenerPolicy("tls", (Entrance(tenant, auth),), client_auth=AUTH), Entrance(tenant, auth)),
    ]:
        decision = judge(listener, entrance, facts(certificate=DEVICE))
        assert isinstance(decision, Refuse)
        assert decision.reason is Reason.CERTIFICATE_REQUIRED


PROBLEMS = [
    Reason.CLIENT_CERTIFICATE_REVOKED,
    Reason.CLIENT_CERTIFICATE_CRL_STALE,
    Reason.CLIENT_CERTIFICATE_WRONG_CA,
    Reason.CLIENT_CERTIFICATE_WEAK,
    Reason.CLIENT_CERTIFICATE_UNTRUSTED,
    Reason.CLIENT_CERTIFICATE_EXPIRED,
]


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("mode", list(ClientAuthMode))
def test_a_bad_certificate_is_refused_whatever_the_tenant_asks_for(problem: Reason, mode: ClientAuthMode) -> None:
    bad = certificate("device", issuers=("root-2026",), problem=problem, problem_detail="it is bad")
    tenant = Tenant("t", "pacs", (Peer("any", ("*",), frozenset({"all"})),), observe_until=float("inf"))
    listener = ListenerPolicy("l", (Entrance(tenant, ClientAuth(mode, CA)),), client_auth=AUTH)
    for entrance in (None, listener.entrances[0]):
        decision = judge(listener, entrance, facts(certificate=bad))
        assert isinstance(decision, Refuse)
        assert (decision.reason, decision.answer) == (problem, Reject(1, 1, 3))
        assert "it is bad" in decision.detail


def test_a_bad_certificate_meets_no_condition_of_a_peer() -> None:
    bad = certificate("pinned", problem=Reason.CLIENT_CERTIFICATE_REVOKED)
    bound = Peer("ct1", ("CT1",), frozenset({"all"}), cert=CertificateConditions(file=frozenset({"pinned"})))
    tenant = Tenant("t", "pacs", (bound,))
    decision = decide(facts(certificate=bad), tenant, Entrance(tenant, AUTH))
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.CERTIFICATE_NOT_BOUND


def test_without_an_entrance_no_ca_is_trusted() -> None:
    for conditions, met in [
        (CertificateConditions(san_dns=NAMES["san_dns"]), False),
        (CertificateConditions(sha256=frozenset({"device"})), True),
    ]:
        tenant = Tenant("t", "pacs", (Peer("ct1", ("CT1",), frozenset({"all"}), cert=conditions),))
        assert isinstance(decide(facts(certificate=DEVICE), tenant), Accept) is met


def test_the_certificate_of_one_device_does_not_carry_the_title_of_another() -> None:
    mr1 = Peer("mr1", ("MR1",), frozenset({"all"}), cert=CertificateConditions(subject_cn=("MR1",)))
    ct1 = CertificateConditions(subject_cn=("CT1",))
    tenant = Tenant("t", "pacs", (Peer("ct1", ("CT1",), frozenset({"all"}), cert=ct1), mr1))
    decision = decide(facts(calling="MR1", certificate=DEVICE), tenant, Entrance(tenant, AUTH))
    assert isinstance(decision, Refuse)
    assert (decision.reason, decision.answer) == (Reason.CERTIFICATE_NOT_BOUND, Reject(1, 1, 3))
    assert "subject_cn of certificate 'CN=device'" in decision.detail
    assert "is 'CT1', not 'MR1'" in decision.detail


def test_the_reason_is_that_of_the_peer_that_came_furthest() -> None:
    elsewhere = Peer("elsewhere", ("CT1",), frozenset({"all"}), source=(ipaddress.ip_network("192.0.2.0/24"),))
    bound = CertificateConditions(subject_cn=("X",))
    assert refused_for(bound, DEVICE, elsewhere) is Reason.CERTIFICATE_NOT_BOUND
    assert refused_for(bound, None, elsewhere) is Reason.CERTIFICATE_REQUIRED
    # A later peer without conditions on the certificate does take it: absent is fine there, and so is another's.
    assert refused_for(bound, None, Peer("free", ("CT1",), frozenset({"all"}))) is None
