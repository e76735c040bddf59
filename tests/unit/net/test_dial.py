"""The stage that dials: each address gets its share of the time, and only silence of the upstream is a timeout."""

import asyncio
import contextlib
import dataclasses
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.config.values import Listener, Server, Upstream, UpstreamTls
from proxy.net import connecting as module
from proxy.net.dial import dial
from proxy.net.leg import Leg
from proxy.net.loops import LoopGuard
from proxy.net.poller import Handler, Poller
from proxy.net.refused import Refused
from proxy.net.servers import Servers
from proxy.pdu import encode_associate_rq
from proxy.policy import ListenerPolicy, Reason
from proxy.shared.counts import Claim, Counts
from proxy.shared.probes import Probes
from proxy.shared.server_states import ServerStates
from proxy.shared.table import SharedTable
from proxy.tls.memory_file import load_key_pair
from proxy.tls.upstreams import upstream_contexts
from proxy.upstream.dialling import Destination, begin_connect
from tests.support import certs, defaults
from tests.support.pacs import pacs
from tests.support.tls_pair import file, key_pair
from tests.unit.net.relay_bed import turns

PACS = defaults.upstream("pacs", (Server("pacs.example.org", 104),))
POOL = defaults.upstream("pool", (Server("one.example.org", 104), Server("other.example.org", 104)), balance="first_up")
ROOT = certs.ca("Root")
GOOD, WRONG = certs.server("pacs.example.org", ROOT), certs.server("other.example.org", ROOT)
SECURE = dataclasses.replace(PACS, tls=UpstreamTls("bcp195-rfc8996", ca=file(ROOT.pem)))


@contextlib.contextmanager
def never_accepting() -> Iterator[Destination]:
    """An address whose queue is full: the kernel drops further SYNs, so a connect never ends."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        yield Destination(socket.AF_INET, listening.getsockname())


@contextlib.contextmanager
def accepting() -> Iterator[Destination]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Destination(socket.AF_INET, listening.getsockname())


@contextlib.contextmanager
def refusing() -> Iterator[Destination]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield Destination(socket.AF_INET, bound.getsockname())


def _ignore(level: str, name: str, **fields: object) -> None:
    pass


@contextlib.contextmanager
def serving(issued: certs.Issued) -> Iterator[Destination]:
    """A TLS server that completes every handshake and reads to EOF."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_key_pair(context, key_pair(issued))
    with pacs(lambda visit: visit.wire.receive_all(), tls=context) as server:
        yield Destination(socket.AF_INET, ("127.0.0.1", server.port))


class Dialling:
    """The station, the account and the dialler of one dial. `results`: the attempts that it counted."""

    def __init__(
        self,
        poller: Poller,
        seconds: float,
        destinations: tuple[Destination, ...],
        upstream: Upstream,
        listeners: tuple[Listener, ...],
    ) -> None:
        self.results: list[str] = []
        self.waits = 0
        self.on_wait: Callable[[], None] = lambda: None
        self.seconds: list[float] = []
        self.claim = Claim(None)
        self._upstream = upstream
        self._ready = asyncio.Event()
        config: Any = SimpleNamespace(
            timeouts=defaults.timeouts(upstream_connect=seconds), limits=defaults.limits(), listeners=listeners
        )
        # In a pool each server has one of the addresses; a single server has them all.
        of = dict(zip(upstream.servers, destinations, strict=False)) if upstream is POOL else {}
        resolver = SimpleNamespace(known=lambda server: (of[server],) if of else destinations)
        table = SharedTable.create(1, 8)
        journal = SimpleNamespace(event=_ignore)
        servers = Servers(ServerStates(table), Counts(defaults.limits(), table, 0, (0,)), journal, seconds)
        self.station: Any = SimpleNamespace(
            loop=asyncio.get_running_loop(),
            config=config,
            resolver=resolver,
            poller=poller,
            servers=servers,
            upstream_tls=upstream_contexts([upstream]),
        )
        self._guard = LoopGuard(config, Probes(table), journal)

    async def dial(self) -> Leg:
        dialler: Any = self
        account: Any = self
        request = encode_associate_rq("PACS", "CT1", [])
        return await dial(dialler, self.station, self._guard, self._upstream, account, request)

    async def event_on(self, leg: Leg) -> None:
        self.waits += 1
        self.on_wait()
        self._ready.clear()
        await self._ready.wait()

    def drained(self, leg: Leg) -> None:
        self._ready.set()

    readable = broken = drained

    def dialling(self, upstream: Upstream, server: Server) -> None:
        pass

    def dialled(self, result: str) -> None:
        self.results.append(result)

    def connected(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.results.append("ok")

    def upstream_secured(self, tls: ssl.SSLObject, settings: UpstreamTls, seconds: float) -> None:
        self.seconds.append(seconds)
        self.results.append(tls.version() or "")


@contextlib.asynccontextmanager
async def dialling(
    *destinations: Destination, seconds: float = 5.0, upstream: Upstream = PACS, listeners: tuple[Listener, ...] = ()
) -> AsyncIterator[Dialling]:
    poller = Poller(asyncio.get_running_loop())
    try:
        yield Dialling(poller, seconds, destinations, upstream, listeners)
        assert not len(poller)
    finally:
        poller.close()


async def test_an_address_that_drops_syns_leaves_the_next_its_share() -> None:
    with never_accepting() as hole, accepting() as good:
        async with dialling(hole, good, seconds=0.2) as d, asyncio.timeout(5):
            leg = await d.dial()
            assert leg.socket.getpeername() == good.address
            assert d.results == ["timeout", "ok"]
            leg.close()


async def test_an_address_that_refuses_costs_the_next_nothing() -> None:
    with refusing() as refused, accepting() as good:
        async with dialling(refused, good) as d:
            (await d.dial()).close()
            assert d.results == ["refused", "ok"]


async def test_a_dead_server_is_passed_over_by_the_next_dial() -> None:
    with refusing() as dead, accepting() as good:
        async with dialling(dead, good, upstream=POOL) as d:
            for _ in range(2):
                leg = await d.dial()
                assert leg.socket.getpeername() == good.address
                leg.close()
            assert d.results == ["refused", "ok", "ok"]


async def test_a_server_that_drops_syns_leaves_the_next_its_share() -> None:
    with never_accepting() as hole, accepting() as good:
        async with dialling(hole, good, seconds=0.2, upstream=POOL) as d, asyncio.timeout(5):
            (await d.dial()).close()
            assert d.results == ["timeout", "ok"]


async def test_a_pool_whose_servers_have_all_failed_is_refused_without_a_dial() -> None:
    with refusing() as one, refusing() as other:
        async with dialling(one, other, upstream=POOL) as d:
            with pytest.raises(Refused, match=r"Connection refused; .*Connection refused"):
                await d.dial()
            with pytest.raises(Refused, match=r"every server has failed; the next one is tried in [01]\.\d s"):
                await d.dial()
            assert d.results == ["refused", "refused"]


async def test_if_no_address_answers_the_refusal_names_them_all() -> None:
    with refusing() as one, refusing() as other:
        async with dialling(one, other) as d:
            with pytest.raises(Refused, match=f"{one}: Connection refused; {other}: Connection refused") as raised:
                await d.dial()
            assert raised.value.reason is Reason.UPSTREAM_UNAVAILABLE


async def test_a_requestor_that_leaves_is_no_timeout_of_the_upstream() -> None:
    with never_accepting() as hole:
        async with dialling(hole) as d:
            task = asyncio.ensure_future(d.dial())
            await turns()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert d.results == []


async def test_a_connection_that_cannot_be_watched_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may have no memory for it. An unclosed socket would keep its descriptor until it is collected."""
    begun: list[socket.socket] = []

    def begin(destination: Destination, source: str | None) -> socket.socket:
        begun.append(begin_connect(destination, source))
        return begun[0]

    def register(poller: Poller, descriptor: int, mask: int, handler: Handler) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(module, "begin_connect", begin)
    monkeypatch.setattr(Poller, "register", register)
    with accepting() as good:
        async with dialling(good) as d:
            with pytest.raises(Refused, match="Cannot allocate memory"):
                await d.dial()
            assert d.results == ["error"]
            assert begun[0].fileno() == -1


async def test_a_server_that_fails_in_tls_leaves_its_place_to_the_next() -> None:
    with serving(WRONG) as wrong, accepting() as silent, serving(GOOD) as good:
        async with dialling(wrong, silent, good, seconds=1.0, upstream=SECURE) as d, asyncio.timeout(5):
            leg = await d.dial()
            assert leg.socket.getpeername() == good.address
            assert leg.tls is not None
            assert d.results == ["tls", "tls", "TLSv1.3", "ok"]
            leg.close()
            while len(leg._poller):  # the alert to the first one is on its way
                await turns()


async def test_if_one_of_them_failed_in_tls_the_refusal_says_so() -> None:
    with serving(WRONG) as wrong, refusing() as refused:
        async with dialling(wrong, refused, upstream=SECURE) as d:
            words = f"{wrong}: the server's certificate is not accepted: .*; {refused}: Connection refused"
            with pytest.raises(Refused, match=words) as raised:
                await d.dial()
            assert raised.value.reason is Reason.UPSTREAM_TLS_FAILED
            while len(d.station.poller):
                await turns()


async def test_a_requestor_that_leaves_within_the_handshake_leaves_nothing_open() -> None:
    with accepting() as silent:
        async with dialling(silent, upstream=SECURE) as d:
            task = asyncio.ensure_future(d.dial())
            while d.waits < 2:  # for the connection, then for the server's part of the handshake
                await turns()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert d.results == []


def _our(destination: Destination) -> Listener:
    """Return a listener of this gateway at `destination`."""
    return Listener("plain", (destination.address[:2],), ListenerPolicy("plain", ()))


async def test_a_listener_of_ours_is_not_dialled() -> None:
    with accepting() as own:
        async with dialling(own, listeners=(_our(own),)) as d:
            words = f"upstream pacs: {own} is the listener plain of this gateway"
            with pytest.raises(Refused, match=words) as raised:
                await d.dial()
            assert raised.value.reason is Reason.UPSTREAM_LOOP
            assert d.results == ["loop"]


async def test_a_pool_goes_on_to_the_server_after_a_listener_of_ours() -> None:
    with accepting() as own, accepting() as good, refusing() as dead:
        async with dialling(own, good, upstream=POOL, listeners=(_our(own),)) as d:
            for _ in range(2):  # a listener of ours counts as no failure: it is found again each time
                (await d.dial()).close()
            assert d.results == ["loop", "ok"] * 2
        async with dialling(own, dead, upstream=POOL, listeners=(_our(own),)) as d:
            with pytest.raises(Refused, match=r"is the listener plain .*; .*: Connection refused") as raised:
                await d.dial()
            assert raised.value.reason is Reason.UPSTREAM_UNAVAILABLE


async def test_the_other_addresses_of_a_name_with_a_listener_of_ours_are_dialled() -> None:
    with accepting() as own, accepting() as good:
        async with dialling(own, good, listeners=(_our(own),)) as d:
            (await d.dial()).close()
            assert d.results == ["loop", "ok"]


async def test_a_server_that_gets_no_time_is_neither_dialled_nor_called_down() -> None:
    """The process stood still past the deadline: the second server is not to blame for it."""
    with never_accepting() as hole, accepting() as good:
        async with dialling(hole, good, seconds=0.2, upstream=POOL) as d, asyncio.timeout(5):
            clock = [0.0]
            d.station.loop = SimpleNamespace(time=lambda: clock[0])

            def stand_still() -> None:
                clock[0] = 10.0

            d.on_wait = stand_still
            with pytest.raises(Refused, match="no connection in"):
                await d.dial()
            assert d.results == ["timeout"]
            assert POOL.servers[1] in d.station.servers.order(POOL)


async def test_times_do_not_depend_on_the_clock_of_the_loop() -> None:
    """That of uvloop has a resolution of a millisecond, in which most servers answer."""
    with serving(GOOD) as good:
        async with dialling(good, upstream=SECURE) as d:
            d.station.loop = SimpleNamespace(time=lambda: 0.0)
            (await d.dial()).close()
            assert len(d.seconds) == 2 and all(seconds > 0 for seconds in d.seconds)


@pytest.mark.parametrize("bookkeeping", ["connected", "upstream_secured"])
async def test_a_connection_is_closed_if_it_cannot_be_accounted_for(bookkeeping: str) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    with serving(GOOD) as good:
        async with dialling(good, upstream=SECURE) as d:  # which asserts that no socket is left
            setattr(d, bookkeeping, fail)
            with pytest.raises(MemoryError):
                await d.dial()
