"""Caps on connections and associations: check and count in one step, give back exactly what was taken."""

import ipaddress
import resource

import pytest

from proxy.config.values import Limits
from proxy.net import counts as module
from proxy.net.counts import Counts, connections_for_descriptors, table_for
from proxy.policy import Peer, Reason, Tenant

A, B = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2")
PEER = Peer("ct1", ("CT1",), frozenset({"all"}), max_associations=1)
TENANT = Tenant("hospital", "pacs", (PEER,), max_associations=2)


def made(limits: Limits) -> Counts:
    return Counts(limits, table_for(limits, (TENANT,), 1), 0, (0,))


def reason(refusal: tuple[Reason, str] | None) -> Reason | None:
    return None if refusal is None else refusal[0]


def test_connections_are_capped_in_all() -> None:
    counts = made(Limits(connections=2))
    assert [reason(counts.connect(a)) for a in (A, B, A)] == [None, None, Reason.CONNECTION_LIMIT]
    counts.associated(A)
    counts.disconnect(A)
    assert counts.connect(B) is None


def test_connections_are_capped_by_address() -> None:
    counts = made(Limits(connections_per_address=2))
    for _ in range(2):
        assert counts.connect(A) is None
        counts.associated(A)
    assert reason(counts.connect(A)) is Reason.ADDRESS_LIMIT
    assert counts.connect(B) is None


def test_connections_without_an_association_have_their_own_cap() -> None:
    counts = made(Limits(handshakes_per_address=1))
    assert counts.connect(A) is None
    assert reason(counts.connect(A)) is Reason.ADDRESS_LIMIT
    counts.associated(A)
    assert counts.connect(A) is None


def test_associations_are_capped_by_peer_and_tenant() -> None:
    counts = made(Limits())
    assert counts.acquire(TENANT, PEER) is None
    assert "peer ct1" in (counts.acquire(TENANT, PEER) or "")
    assert counts.acquire(TENANT, None) is None
    assert "tenant hospital" in (counts.acquire(TENANT, None) or "")
    assert counts.associations == 2
    counts.release(TENANT, PEER)
    assert counts.acquire(TENANT, PEER) is None


def test_nothing_is_remembered_of_who_is_gone() -> None:
    counts = made(Limits())
    for number in range(1000):
        address = ipaddress.ip_address(number)
        assert counts.connect(address) is None
        counts.associated(address)
        counts.disconnect(address)
    assert counts.connections == 0
    assert not any(counts._table._totals)


def test_workers_share_the_caps_and_know_who_is_ahead() -> None:
    limits = Limits(connections=5)
    table = table_for(limits, (TENANT,), 3)
    first, second = Counts(limits, table, 0, (0, 2)), Counts(limits, table, 2, (0, 2))
    for number in range(3):
        assert first.connect(ipaddress.ip_address(number)) is None
    assert first.ahead()
    assert not second.ahead()
    assert [reason(second.connect(A)) for _ in range(3)] == [None, None, Reason.CONNECTION_LIMIT]
    assert not first.ahead()
    assert first.acquire(TENANT, PEER) is None
    assert "peer ct1" in (second.acquire(TENANT, PEER) or "")
    table.forget(0)
    assert second.acquire(TENANT, PEER) is None
    assert second.connect(B) is None


@pytest.mark.parametrize(("descriptors", "expected"), [(64, 16), (264, 100), (1_000_000, 10_000)])
def test_connections_fit_into_the_descriptor_limit(
    descriptors: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(module.resource, "getrlimit", lambda _: (min(64, descriptors), descriptors))
    monkeypatch.setattr(module.resource, "setrlimit", lambda _, limits: raised.append(limits))
    assert connections_for_descriptors(Limits()) == expected
    assert raised in ([], [(descriptors, descriptors)])
    assert resource.RLIMIT_NOFILE is not None
