"""The relay and DIMSE requests that it refuses, over real TCP connections on loopback."""

import pytest

from proxy.dimse.command import C_ECHO, C_FIND, C_STORE, NOT_AUTHORIZED, RESPONSE, decode_command
from proxy.pdu import encode_abort, encode_p_data, encode_release_rq
from proxy.policy import Ended, Reason
from tests.support.messages import C_ECHO_MESSAGE, C_STORE_MESSAGE, begun, command, message
from tests.support.pdus import encode_release_rp
from tests.unit.net.relay_bed import Bed, bed, turns

ALLOWED = frozenset({C_STORE, C_ECHO})
FIND = command(C_FIND, 7, data_set=True)
FIND_MESSAGE = message(FIND, b"q" * 500)
BEGUN = len(begun())  # of C_STORE_MESSAGE: its command set
STORED = message(command(C_STORE | RESPONSE))


async def refusal(b: Bed) -> tuple[int, int, int | None]:
    """Return command field, message id and status of the next PDU at the requestor, which must be one response."""
    header = await b.receive(b.requestor, 12)
    size = int.from_bytes(header[2:6], "big")
    assert (header[0], header[11], size) == (4, 3, int.from_bytes(header[6:10], "big") + 4)
    answer = decode_command(await b.receive(b.requestor, size - 6))
    assert not answer.has_data_set
    return answer.field, answer.message_id, answer.status


async def test_a_refused_request_is_answered_and_the_association_goes_on() -> None:
    async with bed(rules=ALLOWED) as b:
        await b.send(b.requestor, FIND_MESSAGE + C_ECHO_MESSAGE)
        assert await refusal(b) == (C_FIND | RESPONSE, 7, NOT_AUTHORIZED)
        assert await b.receive(b.upstream, len(C_ECHO_MESSAGE)) == C_ECHO_MESSAGE
        assert [one.command.field for one in b.owner.refused] == [C_FIND]
        await b.send(b.requestor, FIND_MESSAGE + encode_release_rq())
        assert await refusal(b) == (C_FIND | RESPONSE, 7, NOT_AUTHORIZED)
        assert await b.receive(b.upstream, 10) == encode_release_rq()
        await b.send(b.upstream, encode_release_rp())
        assert await b.receive(b.requestor, 10) == encode_release_rp()
        b.requestor.close()
        b.upstream.close()
        assert await b.ended() == (Ended.RELEASED, None)


async def test_a_request_of_the_upstream_is_answered_to_the_upstream() -> None:
    async with bed(rules=ALLOWED) as b:
        await b.send(b.upstream, FIND_MESSAGE + STORED)
        assert await b.receive(b.requestor, len(STORED)) == STORED
        answer = await b.receive(b.upstream, 12)
        assert answer[:1] == b"\x04"
        b.requestor.close()
        await b.rest(b.upstream)
        await b.ended()


async def test_the_answer_waits_for_the_end_of_a_message_that_flows_back() -> None:
    """Between two PDUs of a message the receiver would take it for a part of that message."""
    async with bed(rules=ALLOWED) as b:
        first, rest = C_STORE_MESSAGE[:300], C_STORE_MESSAGE[300:]
        await b.send(b.upstream, first)
        assert await b.receive(b.requestor, len(first)) == first
        await b.send(b.requestor, FIND_MESSAGE)
        await turns()
        await b.send(b.upstream, rest + STORED)
        assert await b.receive(b.requestor, len(rest)) == rest
        assert await refusal(b) == (C_FIND | RESPONSE, 7, NOT_AUTHORIZED)
        assert await b.receive(b.requestor, len(STORED)) == STORED
        b.requestor.close()
        b.upstream.close()
        await b.ended()


async def test_no_answer_follows_a_release() -> None:
    """After an A-RELEASE-RQ its receiver may still send data, its sender may not (PS3.8 section 9.2)."""
    async with bed(rules=ALLOWED) as b:
        await b.send(b.upstream, encode_release_rq())
        assert await b.receive(b.requestor, 10) == encode_release_rq()
        await b.send(b.requestor, FIND_MESSAGE + encode_release_rp())
        assert await b.receive(b.upstream, 10) == encode_release_rp()
        assert [one.command.field for one in b.owner.refused] == [C_FIND]
        b.upstream.close()
        assert await b.rest(b.requestor) == b""
        b.requestor.close()
        assert await b.ended() == (Ended.RELEASED, None)


async def test_a_waiting_answer_does_not_follow_a_release() -> None:
    async with bed(rules=ALLOWED) as b:
        await b.send(b.upstream, C_STORE_MESSAGE[:BEGUN])
        await b.receive(b.requestor, BEGUN)
        await b.send(b.requestor, FIND_MESSAGE)
        await b.owner.refused_as_often(1)
        await b.send(b.upstream, encode_release_rq())
        assert await b.receive(b.requestor, 10) == encode_release_rq()
        await b.send(b.requestor, encode_release_rp())
        assert await b.receive(b.upstream, 10) == encode_release_rp()
        b.upstream.close()
        assert await b.rest(b.requestor) == b""
        b.requestor.close()
        assert await b.ended() == (Ended.RELEASED, None)


async def test_if_a_part_of_its_pdu_was_forwarded_the_association_is_aborted() -> None:
    async with bed(rules=ALLOWED) as b:
        pdvs = C_ECHO_MESSAGE[6:] + encode_p_data(1, 3, FIND)[6:]
        await b.send(b.requestor, b"\x04\x00" + len(pdvs).to_bytes(4, "big") + pdvs)
        assert await b.rest(b.requestor) == encode_abort(2, 0)
        assert await b.rest(b.upstream) == f"{len(C_ECHO_MESSAGE)} bytes, RST"
        b.requestor.close()
        assert await b.ended() == (Ended.ABORTED_BY_GATEWAY, Reason.OPERATION_NOT_ALLOWED)


@pytest.mark.parametrize("asked", [16, 17])
async def test_sixteen_answers_wait_and_no_more(asked: int) -> None:
    async with bed(rules=ALLOWED) as b:
        await b.send(b.upstream, C_STORE_MESSAGE[:300])
        await b.receive(b.requestor, 300)
        await b.send(b.requestor, FIND_MESSAGE * asked)
        if asked > 16:
            assert await b.rest(b.upstream) == encode_abort(2, 0)
            b.upstream.close()
            await b.rest(b.requestor)
            b.requestor.close()
            assert await b.ended() == (Ended.ABORTED_BY_GATEWAY, Reason.OPERATION_NOT_ALLOWED)
            return
        await b.owner.refused_as_often(asked)
        await b.send(b.upstream, C_STORE_MESSAGE[300:])
        await b.receive(b.requestor, len(C_STORE_MESSAGE) - 300)
        for _ in range(asked):
            assert await refusal(b) == (C_FIND | RESPONSE, 7, NOT_AUTHORIZED)
        b.requestor.close()
        b.upstream.close()
        await b.ended()


async def test_any_number_in_one_chunk_is_answered_if_no_answer_has_to_wait() -> None:
    async with bed(rules=ALLOWED) as b:
        await b.send(b.requestor, message(command(C_FIND, 7)) * 40)
        for _ in range(40):
            assert await refusal(b) == (C_FIND | RESPONSE, 7, NOT_AUTHORIZED)
        b.requestor.close()
        b.upstream.close()
        await b.ended()


async def test_a_peer_that_sends_refused_requests_and_reads_no_answer_is_aborted() -> None:
    async with bed(rules=ALLOWED, requestor_reads=False) as b:
        await b.send(b.requestor, FIND_MESSAGE * 20)
        assert await b.rest(b.upstream) == encode_abort(2, 0)
        b.upstream.close()
        b.requestor.close()
        assert await b.ended() == (Ended.ABORTED_BY_GATEWAY, Reason.OPERATION_NOT_ALLOWED)
