"""The C-ECHO client over TLS: how it ends where the peer does not, and where it is given up in the handshake."""

import asyncio
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import uvloop

from proxy.config.values import Server
from proxy.pdu import encode_associate_rj
from proxy.upstream import echo_client
from proxy.upstream.echo_client import verify
from proxy.upstream.verification import Outcome, Verification, VerificationRequest
from tests.support.client import client_context
from tests.support.pacs import Pacs, Visit, pacs, sink
from tests.support.site import HOST, Site

TIMEOUT = 0.5  # seconds


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def asking(
    site: Site, peer: Pacs, context: ssl.SSLContext | None = None, timeout: float = TIMEOUT
) -> VerificationRequest:
    tls = context or client_context(site.path("ca.pem"))
    return VerificationRequest(
        Server("127.0.0.1", peer.port), "PACS", "GATE", tls=tls, server_name=HOST, timeout=timeout
    )


def test_who_has_answered_may_keep_the_connection_open(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long that takes is no part of the deadline, which the answer has kept."""
    monkeypatch.setattr(echo_client, "CLOSE_TIMEOUT", TIMEOUT)
    over = threading.Event()

    def refuse(visit: Visit) -> None:
        visit.wire.receive_pdu()
        visit.wire.send(encode_associate_rj(1, 1, 7))
        over.wait(5)

    with pacs(refuse, tls=site.server_context()) as peer:
        result = asyncio.run(verify(asking(site, peer)))
        over.set()
    assert result.outcome is Outcome.REJECTED


def test_given_up_at_the_end_of_the_handshake_it_breaks_nothing(site: Site) -> None:
    """Of uvloop's own TLS, which writes to the closed connection and calls the exception handler of the loop."""
    broken: list[dict[str, Any]] = []
    running: list[asyncio.Task[Verification]] = []

    class GivenUp(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            running[-1].cancel()

    async def scenario(peer: Pacs) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context))
        context = client_context(site.path("ca.pem"))
        context.sslobject_class = GivenUp
        for number in range(30):  # it does so now and then
            running.append(asyncio.ensure_future(verify(asking(site, peer, context, timeout=5))))
            with pytest.raises(asyncio.CancelledError):
                await running[-1]
            await asyncio.to_thread(peer.ended, number)

    with pacs(sink, tls=site.server_context()) as peer, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario(peer))
    assert broken == []
