"""The loop guard: a server that leads back to one of our own listeners is not asked.

An address of this machine on a port that a listener binds is seen before it is dialled. Behind a port forwarder, a
load balancer, NAT or another gateway TCP shows nothing, and the request must not be edited to carry a mark. So there
the gateway asks, and only on suspicion: where many requests that are alike wait for their answers at once, it sends
one more, on a connection of its own, under an Implementation Version Name made up for it. The worker that reads
this name tells all others. As a device that opens many associations at once before a slow PACS looks the same,
suspicion itself refuses nobody.

What is known of a server is known for the called AE title that it was asked for: a gateway there may have a way of its
own for each. So whoever has a request sent in a circle hinders those alone whose requests go the same way.
"""

import asyncio
import os
import time
from hashlib import blake2b

from proxy.config.values import Config
from proxy.net.dial import Attempt, Loop, TlsFailed, connect, secure
from proxy.net.leg import Leg
from proxy.net.linger import linger
from proxy.net.refused import Refused, UpstreamRefused
from proxy.net.servers import Events
from proxy.net.stages import Conversation, read_answer
from proxy.pdu import (
    CALLED_AE_TITLE,
    AAssociateAC,
    AAssociateRQ,
    PduError,
    encode_abort,
    encode_release_rq,
    parse_associate_rq,
    rename_implementation,
)
from proxy.policy import Reason
from proxy.shared.columns import KEY
from proxy.shared.probes import Finding, Probes
from proxy.shared.table import key_of
from proxy.upstream.own_listeners import OwnListeners, is_local_cached

#: Requests that are alike and wait for their answers, at which a loop is suspected.
MANY = 8
_PATIENCE = 2.0  # seconds for a question to come around
_COMPARED = 2048  # bytes of a request: its length, its titles and its first contexts; more would tell no more
_NAME = "LOOP-"  # and eleven characters that nobody guesses
_CONGESTION = (2, 3, 1)  # the answer of `upstream_loop`


def request_key(pdu: bytes) -> bytes:
    """Under which requests that are alike are counted.

    As they came: what the edits of two gateways do and undo again is the same at each round.
    """
    return blake2b(pdu[:_COMPARED], digest_size=KEY, person=b"request").digest()


class LoopGuard:
    """The loop guard of one worker."""

    def __init__(self, config: Config, probes: Probes, events: Events) -> None:
        self._own = OwnListeners(config.listeners)
        self._probes = probes
        self._events = events
        # A loop ends where `handshakes_per_address` does; it must be seen, and asked about, before.
        self._many = max(1, min(MANY, config.limits.handshakes_per_address // 2))

    def recognise(self, request: AAssociateRQ) -> None:
        """Raise `Refused` where the request is a question of this gateway that has come around."""
        name = request.user_information.implementation_version_name
        if name is None or not name.startswith(_NAME):
            return
        if self._probes.seen_again(name.encode("latin-1"), time.monotonic()):
            text = "this is the gateway's own question whether an upstream leads back here: it does"
            raise Refused(Reason.UPSTREAM_LOOP, text)

    async def check(self, attempt: Attempt, seconds: float) -> None:
        """Raise `Loop` where the request would come back here. `seconds` is what may be spent on a question."""
        now = time.monotonic()
        upstream, server, destination = attempt.upstream.name, attempt.server.label, attempt.destination
        listener = self._own.find_self_connection(
            destination, lambda address, scope: is_local_cached(address, scope, now)
        )
        if listener is not None:
            text = f"{destination} is the listener {listener} of this gateway"
            if self._probes.found(key_of("listener", upstream, server), now):
                self._tell(upstream, server, text)
            raise Loop(text)
        suspected = attempt.dialler.claim.pending_duplicates >= self._many
        if not suspected and not self._probes.any(now):
            return
        way = _way(upstream, server, attempt.request)
        finding = self._probes.finding(way, now)
        if finding is None and suspected:
            name = _NAME + os.urandom(6).hex()[:11]
            seconds = min(seconds, _PATIENCE)
            if self._probes.begin(way, name.encode(), now, seconds):
                finding = await self._ask(attempt, way, name, seconds)
        if finding is Finding.LOOP:
            raise Loop(f"{destination} leads back to this gateway")

    async def _ask(self, attempt: Attempt, way: bytes, name: str, seconds: float) -> Finding | None:
        """Ask, and wait for any answer: what counts is whether the question has come around meanwhile."""
        asked = over = False
        try:
            question = rename_implementation(attempt.request, parse_associate_rq(attempt.request), name)
            async with asyncio.timeout(seconds):
                leg = await _open(attempt)
                asked = True
                await _converse(attempt, leg, question)
            over = True
        except TimeoutError:
            over = True
        except (OSError, TlsFailed):
            pass  # the request itself will meet the same, and say so
        except PduError:
            over = True  # there is no room for the name
        finally:
            finding = self._probes.end(way, time.monotonic(), over=over)
        upstream, server = attempt.upstream.name, attempt.server.label
        if finding is Finding.LOOP:
            self._tell(upstream, server, "what is sent there comes back to this gateway")
        elif finding is Finding.NO_LOOP and asked:
            text = f"many like requests wait there; an association of our own ({name}) has shown that it is no loop"
            self._events.event("info", "upstream_probed", upstream=upstream, server=server, message=text)
        return finding

    def _tell(self, upstream: str, server: str, text: str) -> None:
        self._events.event("error", "upstream_loop", upstream=upstream, server=server, message=text)

    async def read_answer(
        self, conversation: Conversation, leg: Leg, upstream: str, server: str | None, request: bytes
    ) -> tuple[bytes, AAssociateAC, bytes]:
        """`stages.read_answer`; a rejection by which a loop is taken down, turn by turn, is told as that."""
        try:
            return await read_answer(conversation, leg)
        except UpstreamRefused as refused:
            way = _way(upstream, server or "", request)
            if refused.triple == _CONGESTION and self._probes.finding(way, time.monotonic()) is Finding.LOOP:
                refused.reason = Reason.UPSTREAM_LOOP
                refused.detail = f"upstream {upstream}: {server} leads back to this gateway"
            raise


def _way(upstream: str, server: str, request: bytes) -> bytes:
    """Under which it is known whether a request, as it is forwarded, comes back from a server."""
    return key_of("way", upstream, server, request[CALLED_AE_TITLE])


async def _open(attempt: Attempt) -> Leg:
    """A connection the way that others go."""
    leg = await connect(attempt)
    tls = attempt.worker.upstream_tls.get(attempt.upstream.name)
    if tls is not None:
        await secure(attempt, leg, tls)
    return leg


async def _converse(attempt: Attempt, leg: Leg, question: bytes) -> None:
    """Ask for an association, and give it up again."""
    goodbye = encode_abort(2, 0)
    try:
        leg.send(question)
        await read_answer(attempt.dialler, leg)
        goodbye = encode_release_rq()
    except UpstreamRefused:
        goodbye = b""
    except Refused:
        pass
    finally:
        if goodbye and not leg.eof:
            leg.send(goodbye)
        linger(leg, attempt.worker.loop, attempt.worker.config.timeouts.close, 0, lambda: None)
