"""The stage that connects to the upstream: each address of each server in turn, until one answers or time is up.

Once the request has been sent to a server, no other server is asked: the first one may have acted on it.
"""

import asyncio
import contextlib
import errno
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from proxy.config.values import Server, Upstream
from proxy.net.accounting import Account
from proxy.net.connecting import Attempt, Dialler, TlsFailed, connect, secure
from proxy.net.leg import Leg
from proxy.net.loops import Loop, LoopGuard
from proxy.net.refused import Refused
from proxy.net.servers import Trial
from proxy.net.station import Station
from proxy.policy import Reason
from proxy.tls.upstreams import UpstreamContext


async def dial(
    dialler: Dialler, station: Station, guard: LoopGuard, upstream: Upstream, account: Account, request: bytes
) -> Leg:
    """Return a leg connected to a server of `upstream`, TLS included, within `timeouts.upstream_connect`.

    `request` is the A-ASSOCIATE-RQ as it will be forwarded. Raises `Refused`.
    """
    return await _Dial(dialler, station, guard, upstream, account, request).run()


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt without a connection. `result` is its label in `upstream_connect_attempts_total`."""

    result: str
    text: str


class _Dial:
    """One dial: its deadline and its attempts."""

    def __init__(
        self,
        dialler: Dialler,
        station: Station,
        guard: LoopGuard,
        upstream: Upstream,
        account: Account,
        request: bytes,
    ) -> None:
        self._dialler = dialler
        self._station = station
        self._guard = guard
        self._upstream = upstream
        self._account = account
        self._request = request
        self._tls = station.upstream_tls.get(upstream.name)
        self._deadline = station.loop.time() + station.config.timeouts.upstream_connect

    async def run(self) -> Leg:
        servers = self._station.servers
        order = servers.order(self._upstream)
        failed: list[Sequence[Failed]] = []
        for index, server in enumerate(order):
            # The process may have stood still past the deadline. A server that gets no time has not failed.
            if self._time_left() <= 0:
                break
            # None: the server has failed before, and another process has the one trial that is allowed for now.
            trial = servers.admit(self._upstream, server, self._dialler.claim)
            if trial is None:
                continue
            result = await self._try_server(trial, len(order) - 1 - index)
            if isinstance(result, Leg):
                return result
            failed.append(result)
        raise self._refusal(failed)

    async def _try_server(self, trial: Trial, servers_left: int) -> Leg | Sequence[Failed]:
        servers = self._station.servers
        began = time.monotonic()  # the loop's own clock has a resolution of 1 ms on uvloop
        self._account.dialling(self._upstream, trial.server)
        try:
            result = await self._try_addresses(trial.server, servers_left)
        except BaseException:  # the requestor has left, or memory is short: the server is not to blame
            servers.abandoned(trial)
            raise
        if isinstance(result, Leg):
            with _closed_on_error(result):
                servers.reached(trial)
                self._account.connected(time.monotonic() - began)
        elif _only_loops(result):
            # The server works. As a failed one it would be passed over by requests for other titles, which may take
            # another route from there.
            servers.abandoned(trial)
        else:
            servers.failed(trial)
        return result

    async def _try_addresses(self, server: Server, servers_left: int) -> Leg | Sequence[Failed]:
        # A name service that does not answer must leave time for the other servers: their addresses may be literals.
        resolver = self._station.resolver
        seconds = self._share(servers_left + 1)
        try:
            destinations = resolver.known(server)
            if destinations is None:
                # Name resolution runs in a thread and cannot be cancelled; only the wait for it ends here.
                async with asyncio.timeout(seconds):
                    destinations = await resolver.resolve(server)
        # Before OSError, which is a base class of TimeoutError.
        except TimeoutError:
            return (self._failed("dns", f"{server.label}: no answer of the name service in {_rounded(seconds)} s"),)
        except OSError as error:
            return (self._failed("dns", f"{server.label}: {error.strerror}"),)
        failed: list[Failed] = []
        for index, destination in enumerate(destinations):
            if self._time_left() <= 0:
                break
            attempt = Attempt(self._dialler, self._station, self._upstream, self._request, server, destination)
            result = await self._try_address(attempt, servers_left + len(destinations) - index)
            if isinstance(result, Leg):
                return result
            failed.append(result)
        return failed

    async def _try_address(self, attempt: Attempt, parts: int) -> Leg | Failed:
        destination = attempt.destination
        seconds = self._share(parts)
        securing = False
        try:
            async with asyncio.timeout(seconds):
                await self._guard.check(attempt, seconds / 2)  # half: a probe must leave time for the connect
                # Both close the leg if the deadline cancels them.
                leg = await connect(attempt)
                if self._tls is not None:
                    securing = True
                    await self._secure(attempt, leg, self._tls)
        except Loop as found:
            return self._failed("loop", str(found))
        except TimeoutError as error:
            if error.errno:  # of the kernel (ETIMEDOUT), before our own time was over
                return self._failed("timeout", f"{destination}: {error.strerror}")
            if securing:
                return self._failed("tls", f"{destination}: the TLS handshake did not end in {_rounded(seconds)} s")
            return self._failed("timeout", f"{destination}: no connection in {_rounded(seconds)} s")
        except TlsFailed as error:
            return self._failed("tls", f"{destination}: {error}")
        except OSError as error:
            result = "refused" if error.errno == errno.ECONNREFUSED else "error"
            return self._failed(result, f"{destination}: {error.strerror}")
        return leg

    async def _secure(self, attempt: Attempt, leg: Leg, tls: UpstreamContext) -> None:
        began = time.monotonic()
        await secure(attempt, leg, tls)
        assert leg.tls is not None
        with _closed_on_error(leg):
            self._account.upstream_secured(leg.tls.object, tls.settings, time.monotonic() - began)

    def _share(self, parts: int) -> float:
        """Return the seconds for the first of `parts` attempts that share the time left before the deadline.

        An address that drops SYNs thereby leaves time for the others. The last attempt gets all the rest, so a slow
        PACS without a second address is not cut short.
        """
        return self._time_left() / parts

    def _time_left(self) -> float:
        return self._deadline - self._station.loop.time()

    def _failed(self, result: str, text: str) -> Failed:
        self._account.dialled(result)
        return Failed(result, text)

    def _refusal(self, failed: Sequence[Sequence[Failed]]) -> Refused:
        """Return the refusal of the requestor. `failed`: the failures of each server that was tried."""
        every = [attempt for of_server in failed for attempt in of_server]
        reason = Reason.UPSTREAM_UNAVAILABLE
        # The most specific reason wins. One failed handshake says more than any number of refused connections. A loop
        # is reported only if every server of the upstream leads back here.
        if any(attempt.result == "tls" for attempt in every):
            reason = Reason.UPSTREAM_TLS_FAILED
        elif len(failed) == len(self._upstream.servers) and all(one and _only_loops(one) for one in failed):
            reason = Reason.UPSTREAM_LOOP
        if every:
            text = "; ".join(attempt.text for attempt in every)
        elif self._time_left() <= 0:
            text = f"no connection in {self._station.config.timeouts.upstream_connect:g} s"
        else:
            seconds = self._station.servers.next_trial(self._upstream)
            text = f"every server has failed; the next one is tried in {seconds:.1f} s"
        return Refused(reason, f"upstream {self._upstream.name}: {text}")


def _only_loops(failed: Sequence[Failed]) -> bool:
    """Return whether each address that was tried leads back to this gateway: then the server has not failed."""
    return all(attempt.result == "loop" for attempt in failed)


@contextlib.contextmanager
def _closed_on_error(leg: Leg) -> Iterator[None]:
    """Close a connected leg if its bookkeeping raises: no association knows the leg yet, so no other code would."""
    try:
        yield
    except BaseException:
        leg.close()
        raise


def _rounded(seconds: float) -> str:
    """Return seconds with two significant digits."""
    return f"{float(f'{seconds:.2g}'):g}"
