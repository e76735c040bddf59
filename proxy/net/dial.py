"""The stage that opens the connection to the upstream: every address of every server, until one answers.

Behind it no other server is asked: the first one may have acted on what it was sent.
"""

import asyncio
import contextlib
import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from proxy.config.values import Server, Upstream
from proxy.net.leg import Leg, LegOwner
from proxy.net.linger import linger
from proxy.net.refused import Refused
from proxy.net.stages import Conversation, shake_hands
from proxy.net.tcp import tune
from proxy.policy import Reason
from proxy.shared.counts import Claim
from proxy.tls.handshake_words import explain_client_failure
from proxy.tls.upstreams import UpstreamContext
from proxy.upstream.dialling import Destination, begin_connect, connect_error

if TYPE_CHECKING:
    from proxy.net.accounting import Account
    from proxy.net.worker import Worker


class TlsFailed(Exception):
    """The connection stands, and TLS on it does not; the text says why."""


class Loop(Exception):
    """The connection would lead back to this gateway; the text says how."""


class Dialler(Conversation, LegOwner, Protocol):
    """Who dials: waits for the connection, and owns its leg."""

    claim: Claim

    def proxy_header(self, version: int) -> bytes:
        """The PROXY header that says for whom this is."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that is to go to one address of one server. `request`: the A-ASSOCIATE-RQ as it is forwarded."""

    dialler: Dialler
    worker: "Worker"
    upstream: Upstream
    request: bytes
    server: Server
    destination: Destination


async def dial(dialler: Dialler, worker: "Worker", upstream: Upstream, account: "Account", request: bytes) -> Leg:
    """A connected leg for `request`, TLS included, read from from now on.

    Raises `Refused`; the deadline is the caller's.
    """
    failures = []
    looped = 0  # servers that lead back here, and nowhere else
    servers = worker.servers
    reason = Reason.UPSTREAM_UNAVAILABLE
    tls = worker.upstream_tls.get(upstream.name)
    loop = worker.loop
    deadline = loop.time() + worker.config.timeouts.upstream_connect
    order = servers.order(upstream)
    for others, server in zip(range(len(order) - 1, -1, -1), order, strict=True):
        if not servers.admit(upstream, server, dialler.claim):
            continue  # another one tries it meanwhile
        account.server(upstream, server)
        try:
            async with _part_of(deadline - loop.time(), others + 1):
                destinations = worker.resolver.known(server) or await worker.resolver.resolve(server)
        except OSError as error:  # TimeoutError is one
            account.dialled("dns")
            servers.failed(upstream, dialler.claim)
            failures.append(f"{server.host}: {error.strerror or 'no answer of the name service'}")
            continue
        account.resolved()
        only_loops = True
        for left, destination in zip(range(len(destinations), 0, -1), destinations, strict=True):
            attempt = Attempt(dialler, worker, upstream, request, server, destination)
            left_over = deadline - loop.time()
            try:
                async with _part_of(left_over, left + others):
                    await worker.loops.check(attempt, left_over / (left + others) / 2)
                    leg = await connect(attempt)
                    if tls is not None:
                        account.securing()
                        await secure(attempt, leg, tls)
            except Loop as found:
                account.dialled("loop")
                failures.append(str(found))
                continue
            except TimeoutError:
                if account.dialled_too_long() == "tls":
                    reason = Reason.UPSTREAM_TLS_FAILED
                failures.append(f"{destination}: no answer")
            except TlsFailed as error:
                account.dialled("tls")
                reason = Reason.UPSTREAM_TLS_FAILED
                failures.append(f"{destination}: {error}")
            except OSError as error:
                account.dialled("refused" if error.errno == errno.ECONNREFUSED else "error")
                failures.append(f"{destination}: {error.strerror}")
            else:
                if tls is not None and leg.tls is not None:
                    account.upstream_secured(leg.tls.object, tls.settings)
                account.dialled("ok")
                servers.reached(upstream, dialler.claim)
                return leg
            only_loops = False
        if only_loops:  # it is not the server that failed
            servers.abandoned(upstream, dialler.claim)
            looped += 1
        else:
            servers.failed(upstream, dialler.claim)
    if looped == len(upstream.servers):
        reason = Reason.UPSTREAM_LOOP
    if not failures:
        failures.append(f"every server has failed; the next one is tried in {servers.next_trial(upstream):.1f} s")
    raise Refused(reason, f"upstream {upstream.name}: " + "; ".join(failures))


def _part_of(seconds: float, parts: int) -> contextlib.AbstractAsyncContextManager[object]:
    """An address that swallows SYNs leaves those behind it their part of the time; the last one has all the rest."""
    return asyncio.timeout(seconds / parts) if parts > 1 else contextlib.nullcontext()


async def connect(attempt: Attempt) -> Leg:
    """Raises OSError with the errno of the failed connect. The PROXY header is sent, where one is wanted."""
    dialler, worker, upstream = attempt.dialler, attempt.worker, attempt.upstream
    sock = begin_connect(attempt.destination, upstream.source_address)
    try:
        tune(sock, worker.config.timeouts.unacknowledged)
        leg = Leg(sock, worker.poller, dialler, connecting=True)
    except BaseException:  # no memory for another descriptor to be watched
        sock.close()
        raise
    try:
        await dialler.event_on(leg)
        error = connect_error(sock)
        if error:
            raise OSError(error, os.strerror(error))
        if upstream.send_proxy_protocol is not None:
            leg.send_raw(dialler.proxy_header(upstream.send_proxy_protocol))
    except BaseException:
        leg.close()
        raise
    leg.set_reading(True)
    return leg


async def secure(attempt: Attempt, leg: Leg, tls: UpstreamContext) -> None:
    """The handshake on a connected leg, which is the leg's TLS from then on. Raises `TlsFailed`; the leg is closed."""
    endpoint = tls.endpoint(attempt.server)
    try:
        await shake_hands(attempt.dialler, leg, endpoint, b"")
        leg.tls = endpoint
        weak = tls.weakness(endpoint.object)
        problem = None if weak is None else f"the server's certificate is too weak: {weak}"
    except OSError as error:  # ssl.SSLError is one
        problem = explain_client_failure(error)
    except BaseException:
        leg.close()
        raise
    if problem is not None:
        worker = attempt.worker
        linger(leg, worker.loop, worker.config.timeouts.close, 0, lambda: None)  # the alert, or close_notify, first
        raise TlsFailed(problem)
