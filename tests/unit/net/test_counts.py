"""Caps on connections and associations: check and count in one step, give back exactly what was taken."""

import ipaddress
import resource

import pytest

from proxy.config.values import Limits
from proxy.net import counts as module
from proxy.net.counts import Counts, connections_for_descriptors
from proxy.policy import Peer, Reason, Tenant

A, B = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2")
PEER = Peer("ct1", ("CT1",), frozenset({"all"}), max_associations=1)
TENANT = Tenant("hospital", "pacs", (PEER,), max_associations=2)


def reason(refusal: tuple[Reason, str] | None) -> Reason | None:
    return None if refusal is None else refusal[0]


def test_connections_are_capped_in_all() -> None:
    counts = Counts(Limits(connections=2))
    assert [reason(counts.connect(a)) for a in (A, B, A)] == [None, None, Reason.CONNECTION_LIMIT]
    counts.associated(A)
    counts.disconnect(A)
    assert counts.connect(B) is None


def test_connections_are_capped_by_address() -> None:
    counts = Counts(Limits(connections_per_address=2))
    for _ in range(2):
        assert counts.connect(A) is None
        counts.associated(A)
    assert reason(counts.connect(A)) is Reason.ADDRESS_LIMIT
    assert counts.connect(B) is None


def test_connections_without_an_association_have_their_own_cap() -> None:
    counts = Counts(Limits(handshakes_per_address=1))
    assert counts.connect(A) is None
    assert reason(counts.connect(A)) is Reason.ADDRESS_LIMIT
    counts.associated(A)
    assert counts.connect(A) is None


def test_associations_are_capped_by_peer_and_tenant() -> None:
    counts = Counts(Limits())
    assert counts.acquire(TENANT, PEER) is None
    assert "peer ct1" in (counts.acquire(TENANT, PEER) or "")
    assert counts.acquire(TENANT, None) is None
    assert "tenant hospital" in (counts.acquire(TENANT, None) or "")
    assert counts.associations == 2
    counts.release(TENANT, PEER)
    assert counts.acquire(TENANT, PEER) is None


def test_nothing_is_remembered_of_who_is_gone() -> None:
    counts = Counts(Limits())
    for number in range(1000):
        address = ipaddress.ip_address(number)
        assert counts.connect(address) is None
        counts.associated(address)
        counts.disconnect(address)
    assert counts.connections == 0
    assert not counts._by_address
    assert not counts._handshakes


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
