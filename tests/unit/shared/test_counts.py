"""Caps on connections and associations: check and count in one step, release exactly what was counted."""

import ipaddress

import pytest

from proxy.config.values import Limits
from proxy.policy import Address, Peer, Reason, Tenant
from proxy.shared import counts as module
from proxy.shared.counts import Claim, Counts, connections_for_descriptors, has_room, table_for
from proxy.shared.table import SharedTable, TableFull
from tests.support import defaults

A, B = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2")
PEER = Peer("ct1", ("CT1",), frozenset({"all"}), max_associations=1)
TENANT = Tenant("hospital", "pacs", (PEER,), max_associations=2)


def made(limits: Limits) -> Counts:
    return Counts(limits, table_for(limits, (TENANT,), 1), 0, (0,))


def reason(answer: Claim | tuple[Reason, str]) -> Reason | None:
    return None if isinstance(answer, Claim) else answer[0]


def connected(counts: Counts, address: Address | None) -> Claim:
    claim = counts.connect(address)
    assert isinstance(claim, Claim)
    return claim


def test_connections_are_capped_in_all() -> None:
    counts = made(defaults.limits(connections=2))
    claims = [connected(counts, a) for a in (A, B)]
    assert reason(counts.connect(A)) is Reason.CONNECTION_LIMIT
    counts.disconnect(claims[0])
    connected(counts, B)


def test_connections_are_capped_by_address() -> None:
    counts = made(defaults.limits(connections_per_address=2))
    for _ in range(2):
        counts.associated(connected(counts, A))
    assert reason(counts.connect(A)) is Reason.ADDRESS_LIMIT
    connected(counts, B)


def test_connections_without_an_association_have_their_own_cap() -> None:
    counts = made(defaults.limits(handshakes_per_address=1))
    claim = connected(counts, A)
    assert reason(counts.connect(A)) is Reason.ADDRESS_LIMIT
    counts.associated(claim)
    connected(counts, A)


def test_a_load_balancer_is_counted_as_each_of_its_clients() -> None:
    """Its connections count for `limits.connections` at once, and for an address when the PROXY header names one."""
    counts = made(defaults.limits(connections=5, connections_per_address=2, handshakes_per_address=1))
    claims = [connected(counts, None) for _ in range(4)]
    assert counts.attribute(claims[0], A) is None
    full = counts.attribute(claims[1], A)
    assert full is not None and full[0] is Reason.ADDRESS_LIMIT and "no association yet" in full[1]
    counts.associated(claims[0])
    assert counts.attribute(claims[1], A) is None
    counts.associated(claims[1])
    full = counts.attribute(claims[2], A)
    assert full is not None and full[0] is Reason.ADDRESS_LIMIT and "of this address are open" in full[1]
    assert reason(counts.connect(A)) is Reason.ADDRESS_LIMIT  # the same address without a load balancer
    connected(counts, B)
    assert reason(counts.connect(None)) is Reason.CONNECTION_LIMIT
    for claim in claims:
        counts.disconnect(claim)
    assert counts.connections == 1


@pytest.mark.parametrize("free", [0, 1])
def test_an_address_without_room_in_the_table_is_not_half_counted(free: int) -> None:
    counts = made(defaults.limits())
    table, left = counts._table, [free]
    claim = connected(counts, None)

    def claim_row(key: bytes) -> int:
        if not left[0]:
            raise TableFull
        left[0] -= 1
        return SharedTable._claim(table, key)

    table._claim = claim_row  # type: ignore[method-assign]
    full = counts.attribute(claim, A)
    assert full is not None and full[0] is Reason.CONNECTION_LIMIT
    counts.disconnect(claim)
    assert not any(table._totals)


def test_associations_are_capped_by_peer_and_tenant() -> None:
    counts = made(defaults.limits())
    first, second, third = (connected(counts, A) for _ in range(3))
    assert counts.acquire(first, TENANT, PEER) is None
    assert "peer ct1" in (counts.acquire(second, TENANT, PEER) or "")
    assert counts.acquire(second, TENANT, None) is None
    assert "tenant hospital" in (counts.acquire(third, TENANT, None) or "")
    assert counts.associations == 2
    counts.release(first)
    assert counts.acquire(third, TENANT, PEER) is None


@pytest.mark.parametrize("steps", [(), ("acquire",), ("acquire", "associated"), ("acquire", "release"), ("release",)])
def test_nothing_stays_counted_for_a_closed_connection(steps: tuple[str, ...]) -> None:
    counts = made(defaults.limits())
    for number in range(100):
        claim = connected(counts, ipaddress.ip_address(number))
        for step in steps:
            if step == "acquire":
                assert counts.acquire(claim, TENANT, PEER) is None
            else:
                getattr(counts, step)(claim)
        counts.disconnect(claim)
    assert (counts.connections, counts.associations) == (0, 0)
    assert not any(counts._table._totals)


def test_workers_share_the_caps_and_know_which_is_ahead() -> None:
    limits = defaults.limits(connections=5)
    table = table_for(limits, (TENANT,), 3)
    first, second = Counts(limits, table, 0, (0, 2)), Counts(limits, table, 2, (0, 2))
    for number in range(3):
        of_first = connected(first, ipaddress.ip_address(number))
    assert first.ahead()
    assert not second.ahead()
    of_second = [connected(second, A) for _ in range(2)]
    assert reason(second.connect(A)) is Reason.CONNECTION_LIMIT
    assert not first.ahead()
    assert first.acquire(of_first, TENANT, PEER) is None
    assert "peer ct1" in (second.acquire(of_second[0], TENANT, PEER) or "")
    table.forget(0)
    assert second.acquire(of_second[0], TENANT, PEER) is None
    connected(second, B)


def test_a_table_has_room_for_its_limits_and_not_for_much_more() -> None:
    before, after = defaults.limits(connections=100), defaults.limits(connections=1000)
    table = table_for(before, (TENANT,), 1)
    assert has_room(table, before, (TENANT,))
    assert has_room(table, defaults.limits(connections=150), (TENANT, TENANT))
    assert not has_room(table, after, (TENANT,))
    held = Counts(before, table, 0, (0,))
    for number in range(100):
        connected(held, ipaddress.ip_address(number))
    assert reason(held.connect(A)) is Reason.CONNECTION_LIMIT


@pytest.mark.parametrize(("descriptors", "expected"), [(64, 16), (264, 100), (1_000_000, 10_000)])
def test_connections_fit_into_the_descriptor_limit(
    descriptors: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(module.resource, "getrlimit", lambda _: (min(64, descriptors), descriptors))
    monkeypatch.setattr(module.resource, "setrlimit", lambda _, limits: raised.append(limits))
    assert connections_for_descriptors(defaults.limits()) == expected
    assert raised == ([(descriptors, descriptors)] if descriptors > 64 else [])


def test_a_full_table_keeps_nothing_of_a_refused_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = made(defaults.limits(connections=1))
    claim = connected(counts, A)
    counts.disconnect(claim)
    table = counts._table
    add = table.add

    def full_at_the_end(slot: int, key: bytes, amount: int) -> None:
        if key in claim.waiting or key in Claim(A).waiting:
            raise module.TableFull
        add(slot, key, amount)

    with monkeypatch.context() as patched:
        patched.setattr(table, "add", full_at_the_end)
        assert reason(counts.connect(A)) is Reason.CONNECTION_LIMIT
    connected(counts, A)
