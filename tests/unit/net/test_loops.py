"""The identity of requests, and the recognition of a probe of the gateway."""

from types import SimpleNamespace
from typing import Any

import pytest

from proxy.net.loops import LoopGuard, request_key
from proxy.net.refused import Refused
from proxy.pdu import encode_associate_rq, parse_associate_rq, rename_implementation
from proxy.policy import Reason, Tenant
from proxy.shared.counts import Claim, Counts, table_for
from proxy.shared.probes import Probes
from proxy.shared.table import SharedTable, key_of
from tests.support import defaults

CONTEXTS = [(1, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",))]
TENANT = Tenant("hospital", "pacs", (), max_associations=3)


def test_requests_are_alike_by_titles_and_contexts() -> None:
    requests = [
        encode_associate_rq("PACS", "CT1", CONTEXTS),
        encode_associate_rq("PACS", "CT2", CONTEXTS),
        encode_associate_rq("OTHER", "CT1", CONTEXTS),
        encode_associate_rq("PACS", "CT1", []),
        encode_associate_rq("PACS", "CT1", CONTEXTS * 200),
        encode_associate_rq("PACS", "CT1", CONTEXTS * 201),
    ]
    assert len({request_key(request) for request in requests}) == len(requests)
    assert request_key(bytes(bytearray(requests[0]))) == request_key(requests[0])


def test_requests_that_wait_for_an_answer_are_counted_over_all_workers() -> None:
    table = table_for(defaults.limits(), (TENANT,), 2)
    workers = [Counts(defaults.limits(), table, slot, (0, 1)) for slot in (0, 1)]

    def asked(slot: int, request: bytes) -> Claim:
        claim = workers[slot].connect(None)
        assert isinstance(claim, Claim)
        claim.request = key_of(request)
        workers[slot].acquire(claim, TENANT, None)
        return claim

    first, second = asked(0, b"a"), asked(1, b"a")
    assert (first.pending_duplicates, second.pending_duplicates, asked(0, b"b").pending_duplicates) == (0, 1, 0)
    # A refused request is not counted: the tenant has no room.
    assert asked(0, b"a").pending_duplicates == 0
    workers[0].associated(first)
    workers[0].disconnect(first)
    third = asked(1, b"a")
    assert third.pending_duplicates == 1
    workers[1].disconnect(third)
    workers[1].release(second)  # refused: its sender has an answer, and may keep the connection for a while
    assert asked(0, b"a").pending_duplicates == 0
    workers[1].disconnect(second)


@pytest.mark.parametrize(("address_limit", "many"), [(32, 8), (1000, 8), (10, 5), (2, 1), (1, 1)])
def test_a_loop_is_suspected_before_the_limit_of_its_address_ends_it(address_limit: int, many: int) -> None:
    config: Any = SimpleNamespace(listeners=(), limits=defaults.limits(handshakes_per_address=address_limit))
    events: Any = None
    assert LoopGuard(config, Probes(SharedTable.create(1, 8)), events)._many == many


def test_only_a_probe_of_ours_is_recognised() -> None:
    probes = Probes(SharedTable.create(1, 8))
    config: Any = SimpleNamespace(listeners=(), limits=defaults.limits())
    events: Any = None
    guard = LoopGuard(config, probes, events)
    request = encode_associate_rq("PACS", "CT1", CONTEXTS)
    question = rename_implementation(request, parse_associate_rq(request), "LOOP-0123456789a")
    guard.recognise(parse_associate_rq(request))
    guard.recognise(parse_associate_rq(question))  # no probe is open
    far = 1e12  # later than any clock
    assert probes.begin(key_of("way"), b"LOOP-0123456789a", far, 1.0)
    guard.recognise(parse_associate_rq(request))
    with pytest.raises(Refused) as raised:
        guard.recognise(parse_associate_rq(question))
    assert raised.value.reason is Reason.UPSTREAM_LOOP
