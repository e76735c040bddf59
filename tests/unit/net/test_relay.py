"""The relay over real TCP connections on loopback: each end of an association, as each side sees it."""

import asyncio
import socket
from typing import Any

import pytest

from proxy.dimse.command import C_STORE
from proxy.net.association_end import AssociationEnd, Side
from proxy.net.leg import Leg
from proxy.pdu import encode_abort, encode_associate_rq, encode_p_data, encode_release_rq
from proxy.policy import Ended, Reason
from tests.support.messages import command, message
from tests.support.pdus import encode_release_rp
from tests.unit.net.relay_bed import bed, reset, turns

ABORT = encode_abort(2, 0)
DATA = message(command(C_STORE, data_set=True), b"d" * 1000)
COMMAND_PDU = encode_p_data(1, 3, command(C_STORE, data_set=True))
RQ, RP = encode_release_rq(), encode_release_rp()


async def test_a_release_ends_it_with_fins() -> None:
    async with bed() as b:
        await b.send(b.requestor, DATA + RQ)
        assert await b.receive(b.upstream, len(DATA + RQ)) == DATA + RQ
        await b.send(b.upstream, DATA + RP)
        assert await b.receive(b.requestor, len(DATA + RP)) == DATA + RP
        b.requestor.close()
        assert await b.rest(b.upstream) == b""
        b.upstream.close()
        assert await b.ended() == (Ended.RELEASED, None)


async def test_a_sender_that_closes_after_its_release_request_was_released() -> None:
    async with bed() as b:
        await b.send(b.requestor, RQ)
        b.requestor.shutdown(socket.SHUT_WR)
        assert await b.rest(b.upstream) == RQ
        await b.send(b.upstream, DATA + RP)
        assert await b.receive(b.requestor, len(DATA + RP)) == DATA + RP, (
            "the direction back is still open for the answer"
        )
        b.upstream.close()
        assert await b.rest(b.requestor) == b""
        assert await b.ended() == (Ended.RELEASED, None)


async def test_a_release_after_which_neither_side_closes_is_ended_by_the_gateway() -> None:
    async with bed() as b:
        await b.send(b.requestor, RQ)
        await b.receive(b.upstream, len(RQ))
        await b.send(b.upstream, RP)
        assert await b.rest(b.requestor) == RP
        assert await b.rest(b.upstream) == b""
        assert await b.ended() == (Ended.RELEASED, None)


@pytest.mark.parametrize("side", ["requestor", "upstream"])
async def test_an_abort_passes_and_ends_it(side: str) -> None:
    async with bed() as b:
        from_, to = (b.requestor, b.upstream) if side == "requestor" else (b.upstream, b.requestor)
        await b.send(from_, DATA + encode_abort(0, 0))
        assert await b.rest(to) == DATA + encode_abort(0, 0)
        to.close()
        assert await b.rest(from_) == b""
        from_.close()
        ended, _ = await b.ended()
        assert ended is (Ended.ABORTED_BY_REQUESTOR if side == "requestor" else Ended.ABORTED_BY_UPSTREAM)


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("side", ["requestor", "upstream"])
async def test_a_leg_lost_between_pdus_makes_an_abort_for_the_other(side: str, how: str) -> None:
    async with bed() as b:
        dying, other = (b.requestor, b.upstream) if side == "requestor" else (b.upstream, b.requestor)
        await b.send(dying, DATA)
        assert await b.receive(other, len(DATA)) == DATA
        if how == "RST":
            reset(dying)
        else:
            dying.close()
        assert await b.rest(other) == ABORT
        other.close()
        ended, _ = await b.ended()
        assert ended is (Ended.REQUESTOR_LOST if side == "requestor" else Ended.UPSTREAM_LOST)


@pytest.mark.parametrize("missing", [1, 2, 3, 5, 8, 10, 500])
@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("side", ["requestor", "upstream"])
async def test_a_leg_lost_inside_a_pdu_resets_the_other(side: str, how: str, missing: int) -> None:
    async with bed() as b:
        dying, other = (b.requestor, b.upstream) if side == "requestor" else (b.upstream, b.requestor)
        await b.send(dying, DATA + DATA[:-missing])
        assert await b.receive(other, len(DATA)) == DATA
        assert await b.receive(other, len(DATA) - missing) == DATA[:-missing]
        if how == "RST":
            reset(dying)
        else:
            dying.close()
        assert await b.rest(other) == "0 bytes, RST"
        await b.ended()


async def test_nothing_of_a_header_that_is_cut_off_is_forwarded() -> None:
    async with bed() as b:
        await b.send(b.requestor, DATA + DATA[:11])
        b.requestor.close()
        assert await b.rest(b.upstream) == DATA + ABORT
        b.upstream.close()
        assert await b.ended() == (Ended.REQUESTOR_LOST, None)


async def test_everything_received_is_delivered_before_the_reset() -> None:
    wire = DATA * 20_000 + DATA[:-7]  # more than the kernel holds of both connections
    async with bed() as b:
        sending = asyncio.ensure_future(b.send(b.requestor, wire))
        await b.owner.paused.wait()  # the upstream reads nothing yet
        assert b.owner.pauses[0] is Side.REQUESTOR
        received = await b.receive(b.upstream, len(wire) - 100_000)
        await sending
        b.requestor.close()
        received += await b.receive(b.upstream, 100_000)
        assert received == wire
        assert await b.rest(b.upstream) == "0 bytes, RST"
        assert await b.ended() == (Ended.REQUESTOR_LOST, None)


async def test_a_reset_is_noticed_although_the_reader_is_paused() -> None:
    async with bed() as b:
        sending = asyncio.ensure_future(b.send(b.requestor, DATA * 20_000))
        await b.owner.paused.wait()
        reset(b.upstream)
        await asyncio.wait([sending])
        assert await b.rest(b.requestor) == ABORT
        b.requestor.close()
        assert await b.ended() == (Ended.UPSTREAM_LOST, None)


async def test_a_violation_aborts_both_and_forwards_what_was_valid() -> None:
    async with bed() as b:
        await b.send(b.requestor, DATA + encode_associate_rq("A", "B", []))
        assert await b.rest(b.upstream) == DATA + encode_abort(2, 2)
        b.upstream.close()
        assert await b.rest(b.requestor) == encode_abort(2, 2)
        b.requestor.close()
        assert await b.ended() == (Ended.ABORTED_BY_GATEWAY, Reason.PDU_UNEXPECTED)


async def test_a_violation_inside_a_pdu_resets_the_upstream() -> None:
    async with bed() as b:
        await b.send(b.requestor, COMMAND_PDU)
        await b.receive(b.upstream, len(COMMAND_PDU))
        good, bad = encode_p_data(1, 2, b"x" * 50)[6:], encode_p_data(9, 2, b"y" * 50)[6:]
        wire = b"\x04\x00" + (len(good) + len(bad)).to_bytes(4, "big") + good + bad
        await b.send(b.requestor, wire)
        assert await b.rest(b.requestor) == encode_abort(2, 6)
        assert await b.rest(b.upstream) in ("62 bytes, RST", f"{6 + len(good)} bytes, RST")
        b.requestor.close()
        assert await b.ended() == (Ended.ABORTED_BY_GATEWAY, Reason.PDU_INVALID)


async def test_an_abort_of_ours_waits_for_the_boundary_of_each_leg() -> None:
    async with bed() as b:
        await b.send(b.requestor, DATA[:300])
        assert await b.receive(b.upstream, 300) == DATA[:300]
        b.relay.ending.abort(AssociationEnd(Ended.DISCONNECTED, Reason.DISCONNECTED, "by an operator"))
        assert await b.rest(b.requestor) == ABORT
        await b.send(b.requestor, DATA[300:] + DATA)
        assert await b.rest(b.upstream) == DATA[300:] + ABORT, "to the boundary and no further"
        b.upstream.close()
        b.requestor.close()
        assert await b.ended() == (Ended.DISCONNECTED, Reason.DISCONNECTED)


async def test_an_abort_of_ours_resets_if_no_boundary_comes() -> None:
    async with bed() as b:
        await b.send(b.requestor, DATA[:300])
        assert await b.receive(b.upstream, 300) == DATA[:300]
        b.relay.ending.abort(AssociationEnd(Ended.TIMEOUT, None, "idle"))
        assert await b.rest(b.requestor) == ABORT
        assert await b.rest(b.upstream) == "0 bytes, RST"
        b.requestor.close()
        assert await b.ended() == (Ended.TIMEOUT, None)


async def test_half_closed_upstream_delivers_its_last_response() -> None:
    async with bed() as b:
        await b.send(b.upstream, DATA)
        b.upstream.shutdown(socket.SHUT_WR)
        assert await b.rest(b.requestor) == DATA + ABORT
        b.requestor.close()
        assert await b.ended() == (Ended.UPSTREAM_LOST, None)


async def test_an_exception_ends_one_association_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    async with bed() as b:
        monkeypatch.setattr(type(b.relay.to_upstream), "feed", lambda *_: 1 // 0)
        await b.send(b.requestor, DATA)
        assert await b.rest(b.requestor) == "0 bytes, RST"
        assert await b.ended() == (Ended.ABORTED_BY_GATEWAY, Reason.INTERNAL)
        assert len(reports) == 1


async def test_bytes_after_the_fin_of_the_gateway_are_still_read() -> None:
    """`timeouts.close` starts again with the FIN: closing at once would reset a peer that has not read everything."""
    async with bed() as b:
        await b.send(b.requestor, RQ)
        await b.receive(b.upstream, len(RQ))
        await b.send(b.upstream, RP)
        assert await b.rest(b.requestor) == RP
        for sock in (b.requestor, b.upstream):
            await b.send(sock, DATA)  # acknowledges the FIN too
            await turns()
            await b.send(sock, DATA)
            assert await b.rest(sock) == b""
            sock.close()
        assert await b.ended() == (Ended.RELEASED, None)


@pytest.mark.parametrize("together", [True, False], ids=["one chunk", "two chunks"])
@pytest.mark.parametrize("side", ["requestor", "upstream"])
async def test_bytes_after_an_abort_are_ignored(side: str, together: bool) -> None:
    async with bed() as b:
        from_, to = (b.requestor, b.upstream) if side == "requestor" else (b.upstream, b.requestor)
        abort = encode_abort(0, 0)
        await b.send(from_, DATA + abort + (b"\0" if together else b""))
        assert await b.rest(to) == DATA + abort
        if not together:
            await b.send(from_, b"\0")
        assert await b.rest(from_) == b"", "nothing is sent to the side that aborted"
        from_.close()
        to.close()
        ended, _ = await b.ended()
        assert ended is (Ended.ABORTED_BY_REQUESTOR if side == "requestor" else Ended.ABORTED_BY_UPSTREAM)


@pytest.mark.parametrize("together", [True, False], ids=["one chunk", "two chunks"])
async def test_bytes_after_the_answer_to_a_release_change_nothing(together: bool) -> None:
    async with bed() as b:
        await b.send(b.requestor, RQ)
        assert await b.receive(b.upstream, len(RQ)) == RQ
        await b.send(b.upstream, RP + (b"\0" if together else b""))
        assert await b.receive(b.requestor, len(RP)) == RP
        if not together:
            await b.send(b.upstream, b"\0")
        b.requestor.close()
        b.upstream.close()
        assert await b.ended() == (Ended.RELEASED, None)


@pytest.mark.parametrize(
    ("how", "ended"), [("reset", Ended.UPSTREAM_LOST), ("abort", Ended.ABORTED_BY_UPSTREAM), ("silence", Ended.TIMEOUT)]
)
async def test_an_unanswered_release_request_is_no_release(how: str, ended: Ended) -> None:
    """The requestor closes after its A-RELEASE-RQ, and the upstream does not agree."""
    async with bed() as b:
        await b.send(b.requestor, RQ)
        b.requestor.shutdown(socket.SHUT_WR)
        assert await b.rest(b.upstream) == RQ
        if how == "reset":
            reset(b.upstream)
        elif how == "abort":
            await b.send(b.upstream, ABORT)
            b.upstream.close()
        assert await b.rest(b.requestor) == ABORT
        b.requestor.close()
        assert (await b.ended())[0] is ended


async def test_a_leg_that_is_to_be_reset_from_the_start_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A violation inside a PDU right after the A-ASSOCIATE-AC: the poller must not report the leg in every turn."""
    events = []
    ready = Leg.ready
    monkeypatch.setattr(Leg, "ready", lambda leg, mask: (events.append(leg), ready(leg, mask)))
    good, bad = encode_p_data(1, 2, b"x" * 50)[6:], encode_p_data(9, 2, b"y" * 50)[6:]
    broken = b"\x04\x00" + (len(good) + len(bad)).to_bytes(4, "big") + good + bad
    async with bed(broken, requestor_reads=False) as b:
        await b.send(b.requestor, DATA)
        assert await b.rest(b.upstream) == encode_abort(2, 6)
        b.upstream.close()
        await turns()
        events.clear()
        await turns()
        assert events == []
        b.requestor.close()
        assert await b.ended() == (Ended.ABORTED_BY_GATEWAY, Reason.PDU_INVALID)
