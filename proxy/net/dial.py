"""The stage that opens the connection to the upstream: every address of every server, until one answers."""

import asyncio
import contextlib
import errno
import os
from typing import TYPE_CHECKING, Protocol

from proxy.config.values import Upstream
from proxy.net.leg import Leg, LegOwner
from proxy.net.refused import Refused
from proxy.net.stages import Conversation
from proxy.net.tcp import tune
from proxy.policy import Reason
from proxy.upstream.dialling import Destination, begin_connect, connect_error

if TYPE_CHECKING:
    from proxy.net.accounting import Account
    from proxy.net.worker import Worker


class Dialler(Conversation, LegOwner, Protocol):
    """Who dials: waits for the connection, and owns its leg."""

    def proxy_header(self, version: int) -> bytes:
        """The PROXY header that says for whom this is."""


async def dial(dialler: Dialler, worker: "Worker", upstream: Upstream, account: "Account") -> Leg:
    """A connected leg, read from from now on. Raises `Refused`; the deadline is the caller's."""
    failures = []
    loop = worker.loop
    deadline = loop.time() + worker.config.timeouts.upstream_connect
    for server in upstream.servers:
        account.server(upstream, server)
        try:
            destinations = worker.resolver.known(server) or await worker.resolver.resolve(server)
        except OSError as error:
            account.dialled("dns")
            failures.append(f"{server.host}: {error.strerror}")
            continue
        for left, destination in zip(range(len(destinations), 0, -1), destinations, strict=True):
            try:
                # An address that swallows SYNs leaves the others their share of the time.
                async with asyncio.timeout((deadline - loop.time()) / left) if left > 1 else contextlib.nullcontext():
                    leg = await _connect(dialler, worker, upstream, destination)
            except TimeoutError:
                account.dialled("timeout")
                failures.append(f"{destination}: no answer")
                continue
            except OSError as error:
                account.dialled("refused" if error.errno == errno.ECONNREFUSED else "error")
                failures.append(f"{destination}: {error.strerror}")
                continue
            account.dialled("ok")
            return leg
    raise Refused(Reason.UPSTREAM_UNAVAILABLE, f"upstream {upstream.name}: " + "; ".join(failures))


async def _connect(dialler: Dialler, worker: "Worker", upstream: Upstream, destination: Destination) -> Leg:
    """Raises OSError with the errno of the failed connect. The PROXY header is sent, where one is wanted."""
    sock = begin_connect(destination, upstream.source_address)
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
