"""The tenant that SNI selects before TLS, and the table of `check` (rows 10 to 12, docs/robustness.md)."""

import pytest

from proxy.explain.sni_table import describe_sni
from proxy.policy import (
    Alert,
    ClientAuth,
    ClientAuthMode,
    Entrance,
    ListenerPolicy,
    Reason,
    Refuse,
    SniResult,
    Tenant,
    entrance_for_sni,
)
from proxy.policy.names import lookup, normalize_server_name

EXACT = Entrance(Tenant("exact", "a", (), server_names=("ct.rad.example.org", "pacs.example.org")))
RAD = Entrance(Tenant("rad", "b", (), server_names=("*.rad.example.org",)), ClientAuth(ClientAuthMode.REQUIRED))
WIDE = Entrance(Tenant("wide", "c", (), server_names=("*.example.org",)))
NAMELESS = Entrance(Tenant("nameless", "d", ()))
NAMED = (WIDE, RAD, EXACT, NAMELESS)


@pytest.mark.parametrize(
    ("sni", "result", "entrance"),
    [
        ("pacs.example.org", SniResult.EXACT, EXACT),
        ("PACS.Example.ORG.", SniResult.EXACT, EXACT),
        ("pacs.example.org..", SniResult.UNKNOWN, None),
        ("ct.rad.example.org", SniResult.EXACT, EXACT),  # exact wins over the wildcard
        ("mr.rad.example.org", SniResult.WILDCARD, RAD),
        ("rad.example.org", SniResult.WILDCARD, WIDE),
        ("a.mr.rad.example.org", SniResult.UNKNOWN, None),
        ("example.org", SniResult.UNKNOWN, None),
        ("*.rad.example.org", SniResult.UNKNOWN, None),
        (".rad.example.org", SniResult.UNKNOWN, None),
        ("", SniResult.UNKNOWN, None),
        (None, SniResult.ABSENT, None),
    ],
)
def test_a_server_name_selects_a_tenant(sni: str | None, result: SniResult, entrance: Entrance | None) -> None:
    found = lookup(ListenerPolicy("l", NAMED), sni)
    assert (found.result, found.entrance) == (result, entrance)


def test_one_trailing_dot_comes_off() -> None:
    assert normalize_server_name("A.Example.") == "a.example"
    assert normalize_server_name("a.example..") == "a.example."


@pytest.mark.parametrize(
    ("entrances", "sni", "reject_without", "match_unknown", "expected"),
    [
        (NAMED, "pacs.example.org", True, False, EXACT),
        (NAMED, "other.net", False, False, Reason.SNI_UNKNOWN),
        (NAMED, "other.net", True, True, None),
        (NAMED, None, False, False, None),
        (NAMED, None, True, True, Reason.SNI_MISSING),
        ((NAMELESS,), "any.net", False, False, None),
        ((NAMELESS,), None, False, False, None),
        ((NAMELESS,), "any.net", True, True, Reason.SNI_MISSING),
    ],
)
def test_before_tls(
    entrances: tuple[Entrance, ...],
    sni: str | None,
    reject_without: bool,
    match_unknown: bool,
    expected: Entrance | Reason | None,
) -> None:
    listener = ListenerPolicy("l", entrances, reject_without_sni=reject_without, match_unknown_sni=match_unknown)
    outcome = entrance_for_sni(listener, sni)
    assert (outcome.reason if isinstance(outcome, Refuse) else outcome) == expected
    if isinstance(outcome, Refuse):
        assert outcome.answer == Alert(112 if expected is Reason.SNI_UNKNOWN else 40)


def test_a_plaintext_listener_ignores_sni() -> None:
    assert entrance_for_sni(ListenerPolicy("l", NAMED, tls=False, reject_without_sni=True), None) is None
    assert describe_sni(ListenerPolicy("l", NAMED, tls=False)) == []


def test_the_table_names_known_unknown_and_no_sni() -> None:
    rows = describe_sni(ListenerPolicy("l", NAMED))
    assert [(row.server_name, row.result, row.tenant, row.client_auth, row.alert) for row in rows] == [
        ("*.example.org", "wildcard", "wide", "none", None),
        ("*.rad.example.org", "wildcard", "rad", "required", None),
        ("ct.rad.example.org", "exact", "exact", "none", None),
        ("pacs.example.org", "exact", "exact", "none", None),
        (None, "unknown", None, None, 112),
        (None, "absent", None, "none", None),
    ]
    assert rows[-2].answer == "TLS alert 112 unrecognized_name (sni_unknown)"
    assert "wide, exact, nameless" in rows[-1].answer  # rad demands a certificate, which this listener does not ask for


def test_the_table_of_a_listener_without_names() -> None:
    (row,) = describe_sni(ListenerPolicy("l", (NAMELESS,)))
    assert (row.result, row.alert) == (SniResult.UNUSED, None)
    assert row.answer.endswith("tenant: nameless")
    (row,) = describe_sni(ListenerPolicy("l", (NAMELESS,), reject_without_sni=True))
    assert (row.alert, row.answer) == (40, "TLS alert 40 handshake_failure (sni_missing)")
