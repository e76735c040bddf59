"""One connection to one address of an upstream's server: TCP, then the PROXY header if configured, then TLS."""

import os
from dataclasses import dataclass
from typing import Protocol

from proxy.config.values import Server, Upstream
from proxy.net.leg import Leg, LegOwner
from proxy.net.linger import linger
from proxy.net.stages import Conversation, shake_hands
from proxy.net.station import Station
from proxy.net.tcp import tune
from proxy.shared.counts import Claim
from proxy.tls.handshake_words import explain_client_failure
from proxy.tls.upstreams import UpstreamContext
from proxy.upstream.dialling import Destination, begin_connect, connect_error


class TlsFailed(Exception):
    """TCP is connected and the TLS handshake failed. The text says why."""


class Dialler(Conversation, LegOwner, Protocol):
    """The association that dials. It waits for the connection and owns its leg."""

    claim: Claim

    def proxy_header(self, version: int) -> bytes:
        """Return the PROXY header that names the requestor."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One address of one server, to be dialled for a request. `request` is the A-ASSOCIATE-RQ as it is forwarded."""

    dialler: Dialler
    station: Station
    upstream: Upstream
    request: bytes
    server: Server
    destination: Destination


async def connect(attempt: Attempt) -> Leg:
    """Return a connected leg that is read from now on, after sending the PROXY header if the upstream wants one.

    Raises OSError with the errno of the failed connect.
    """
    dialler, station, upstream = attempt.dialler, attempt.station, attempt.upstream
    sock = begin_connect(attempt.destination, upstream.source_address)
    try:
        tune(sock, station.config.timeouts.unacknowledged)
        leg = Leg(sock, station.poller, dialler, connecting=True)
    except BaseException:  # for example epoll has no room for another descriptor: the socket would leak
        sock.close()
        raise
    try:
        await dialler.event_on(leg)
        # A socket becomes writable when its connect ends, in success or failure. SO_ERROR holds the result.
        error = connect_error(sock)
        if error:
            raise OSError(error, os.strerror(error))
        if upstream.send_proxy_protocol is not None:
            leg.send_raw(dialler.proxy_header(upstream.send_proxy_protocol))
    except BaseException:  # also CancelledError: the deadline of the attempt, or a requestor that has left
        leg.close()
        raise
    leg.set_reading(True)
    return leg


async def secure(attempt: Attempt, leg: Leg, tls: UpstreamContext) -> None:
    """Do the TLS handshake on a connected leg, which speaks TLS from then on. Raises `TlsFailed` and closes the leg."""
    try:
        endpoint = tls.endpoint(attempt.server)
        await shake_hands(attempt.dialler, leg, endpoint, b"")
        leg.tls = endpoint
        # Legacy profiles need OpenSSL's security level 0, at which any key size and hash passes: the gateway judges
        # both itself. By now the leg has its TLS endpoint, so a refusal ends with close_notify.
        weak = tls.weakness(endpoint.object)
        problem = None if weak is None else f"the server's certificate is too weak: {weak}"
    except OSError as error:  # ssl.SSLError is one
        problem = explain_client_failure(error)
    except BaseException:  # cancelled: nothing is owed to this server
        leg.close()
        raise
    if problem is not None:
        station = attempt.station
        # The alert, or close_notify, must reach the server before the connection closes.
        linger(leg, station.loop, station.config.timeouts.close, 0, lambda: None)
        raise TlsFailed(problem)
