"""The loop guard: requests must not go round in a circle that leads through this gateway.

A destination that is one of our own listeners is recognised by its address before it is dialled. A port forwarder, a
load balancer, NAT or another gateway hides such a loop from TCP, and the request must not be edited to carry a mark.
So the gateway probes the route, but only on suspicion: when many identical requests wait for their answers at once, it
sends one more, on a connection of its own, under an Implementation Version Name made up for this probe. The worker that
reads that name tells all other workers (proxy/shared/probes.py). A device that opens many associations at once to a
slow PACS looks the same, so suspicion alone refuses no request.

A finding holds for one server and one called AE title, because another gateway may route each title differently. A
sender whose requests go in a circle therefore hinders only requests that take the same route.
"""

import asyncio
import os
import time
from hashlib import blake2b

from proxy.config.values import Config
from proxy.net.connecting import Attempt, TlsFailed, connect, secure
from proxy.net.leg import Leg
from proxy.net.linger import linger
from proxy.net.refused import Refused, UpstreamRefused
from proxy.net.stages import read_answer
from proxy.observe.events import Events
from proxy.pdu import (
    CALLED_AE_TITLE,
    AAssociateRQ,
    AbortReason,
    AbortSource,
    PduError,
    encode_abort,
    encode_release_rq,
    parse_associate_rq,
    rename_implementation,
)
from proxy.policy import Reason, Reject
from proxy.shared.columns import KEY
from proxy.shared.probes import LoopFinding, Probes
from proxy.shared.table import key_of
from proxy.upstream.own_listeners import OwnListeners, is_local_cached

#: Identical requests that wait for their answers; at this number a loop is suspected.
MANY = 8
_PATIENCE = 2.0  # seconds for a probe to come back
_COMPARED = 2048  # bytes of a request: its length, titles and first contexts; more bytes would distinguish no better
# Followed by eleven characters that cannot be guessed: 16 in all, the most that an Implementation Version Name may have
# (PS3.7 Table D.3-3).
_NAME = "LOOP-"
_UNGUESSED = 11
_ABORT = encode_abort(AbortSource.SERVICE_PROVIDER, AbortReason.NOT_SPECIFIED)


class Loop(Exception):
    """The connection would lead back to this gateway. The text says how."""


def request_key(pdu: bytes) -> bytes:
    """Return the key under which identical requests are counted.

    It is made of the bytes received: two gateways whose edits cancel each other out receive the same bytes each round.
    """
    return blake2b(pdu[:_COMPARED], digest_size=KEY, person=b"request").digest()


class LoopGuard:
    """The loop guard of one worker."""

    def __init__(self, config: Config, probes: Probes, events: Events) -> None:
        self._own = OwnListeners(config.listeners)
        self._probes = probes
        self._events = events
        # All requests of a loop come from one address, and `handshakes_per_address` would end it as an address limit.
        # Suspicion must come first, so that the loop is found and named.
        self._many = max(1, min(MANY, config.limits.handshakes_per_address // 2))

    def recognise(self, request: AAssociateRQ) -> None:
        """Raise `Refused` if the request is a probe of this gateway that has come back."""
        name = request.user_information.implementation_version_name
        if name is None or not name.startswith(_NAME):
            return
        if self._probes.seen_again(name.encode("latin-1"), time.monotonic()):
            text = "this request is the gateway's own question whether an upstream leads back here: it does"
            raise Refused(Reason.UPSTREAM_LOOP, text)

    async def check(self, attempt: Attempt, seconds: float) -> None:
        """Raise `Loop` if the request would come back here. A probe may take `seconds`."""
        now = time.monotonic()
        upstream, server, destination = attempt.upstream.name, attempt.server.label, attempt.destination
        listener = self._own.find_self_connection(
            destination, lambda address, scope: is_local_cached(address, scope, now)
        )
        if listener is not None:
            text = f"{destination} is the listener {listener} of this gateway"
            if self._probes.found(key_of("listener", upstream, server), now):
                self._report_loop(upstream, server, text)
            raise Loop(text)
        suspected = attempt.dialler.claim.pending_duplicates >= self._many
        # The usual case ends here: nothing is suspected, and no route of the whole gateway is under suspicion.
        if not suspected and not self._probes.any(now):
            return
        route = _route_key(upstream, server, attempt.request)
        finding = self._probes.finding(route, now)
        if finding is None and suspected:
            finding = await self._ask_once(attempt, route, now, min(seconds, _PATIENCE))
        if finding is LoopFinding.LOOP:
            raise Loop(f"{destination} leads back to this gateway")

    def refusal(self, refused: UpstreamRefused, upstream: str, server: str | None, request: bytes) -> UpstreamRefused:
        """Return the refusal to record in place of `refused`, which came from the upstream.

        When a loop is found, the last round gets RJ 2/3/1 and every round before it passes that on. The records of all
        rounds name the loop, not an upstream that rejects.
        """
        congested = Reject(*refused.triple) == Reason.UPSTREAM_LOOP.answer
        route = _route_key(upstream, server or "", request)
        if congested and self._probes.finding(route, time.monotonic()) is LoopFinding.LOOP:
            text = f"upstream {upstream}: {server} leads back to this gateway"
            return UpstreamRefused(refused.pdu, Reason.UPSTREAM_LOOP, text)
        return refused

    async def _ask_once(self, attempt: Attempt, route: bytes, now: float, seconds: float) -> LoopFinding | None:
        """Send a probe, unless another process is probing already."""
        name = _NAME + os.urandom(6).hex()[:_UNGUESSED]
        if not self._probes.begin(route, name.encode(), now, seconds):
            return None
        return await self._ask(attempt, route, name, seconds)

    async def _ask(self, attempt: Attempt, route: bytes, name: str, seconds: float) -> LoopFinding | None:
        """Send a probe and wait for any answer. Return the finding: a loop if the probe has come back meanwhile."""
        asked = False
        over = False  # the probe had its time: if it has not come back by now, the route is no loop
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
            pass  # the request itself will meet the same failure and report it
        except PduError:
            over = True  # the request has no room for the name
        finally:  # also if the requestor leaves: the lease must end, or no process could probe for `seconds`
            finding = self._probes.end(route, time.monotonic(), over=over)
        upstream, server = attempt.upstream.name, attempt.server.label
        if finding is LoopFinding.LOOP:
            self._report_loop(upstream, server, "requests sent to this server come back to this gateway")
        elif finding is LoopFinding.NO_LOOP and asked:
            text = f"many like requests wait there; an association of our own ({name}) has shown that it is no loop"
            self._events.event("info", "upstream_probed", upstream=upstream, server=server, message=text)
        return finding

    def _report_loop(self, upstream: str, server: str, text: str) -> None:
        self._events.event("error", "upstream_loop", upstream=upstream, server=server, message=text)


def _route_key(upstream: str, server: str, request: bytes) -> bytes:
    """Return the key of a finding: the server and the called AE title of the request as it is forwarded."""
    return key_of("way", upstream, server, request[CALLED_AE_TITLE])


async def _open(attempt: Attempt) -> Leg:
    """Connect as the request itself would be connected."""
    leg = await connect(attempt)
    tls = attempt.station.upstream_tls.get(attempt.upstream.name)
    if tls is not None:
        await secure(attempt, leg, tls)
    return leg


async def _converse(attempt: Attempt, leg: Leg, question: bytes) -> None:
    """Request an association, and release it if the server accepts."""
    goodbye = _ABORT  # sent if no answer comes: the server may have accepted by then
    try:
        leg.send(question)
        answer = await read_answer(attempt.dialler, leg)
        goodbye = b"" if isinstance(answer, UpstreamRefused) else encode_release_rq()
    except Refused:
        pass
    finally:
        if goodbye and not leg.eof:
            leg.send(goodbye)
        linger(leg, attempt.station.loop, attempt.station.config.timeouts.close, 0, lambda: None)
