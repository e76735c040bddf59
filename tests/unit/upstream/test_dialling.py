"""From a server of the configuration to destinations and connecting sockets."""

import asyncio
import contextlib
import errno
import select
import socket

import pytest

from proxy.config.values import Server
from proxy.upstream import dialling
from proxy.upstream.dialling import Destination, Resolver, begin_connect, connect_error, literal


def test_a_literal_needs_no_look_up() -> None:
    assert literal(Server("127.0.0.1", 104)) == Destination(socket.AF_INET, ("127.0.0.1", 104))
    assert literal(Server("::1", 104)) == Destination(socket.AF_INET6, ("::1", 104, 0, 0))
    assert literal(Server("pacs.example.org", 104)) is None
    resolver = Resolver()
    assert resolver.known(Server("127.0.0.1", 104)) is resolver.known(Server("127.0.0.1", 104))
    assert resolver.known(Server("pacs", 104)) is None


def test_a_link_local_address_leads_through_its_interface() -> None:
    number = socket.if_nametoindex("lo")
    for zone in ("lo", str(number)):
        known = Resolver().known(Server(f"fe80::1%{zone}", 104))
        assert known == (Destination(socket.AF_INET6, ("fe80::1", 104, 0, number)),)
    with pytest.raises(OSError, match="this machine has no interface nosuch0"):
        Resolver().known(Server("fe80::1%nosuch0", 104))


def test_destinations_read_like_addresses() -> None:
    assert str(Destination(socket.AF_INET, ("10.0.0.1", 104))) == "10.0.0.1:104"
    assert str(Destination(socket.AF_INET6, ("fe80::1", 104, 0, 0))) == "[fe80::1]:104"


async def test_every_address_of_a_name_is_tried_and_the_last_good_answer_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    answers = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 104)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.2", 104)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 104)),
    ]
    works = True

    async def getaddrinfo(*_: object, **__: object) -> list[object]:
        if not works:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return list(answers)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    resolver, server = Resolver(), Server("pacs.example.org", 104)
    found = await resolver.resolve(server)
    assert [d.address[0] for d in found] == ["10.0.0.1", "10.0.0.2"]
    works = False
    assert await resolver.resolve(server) == found
    with pytest.raises(OSError, match="try again"):
        await resolver.resolve(Server("other.example.org", 104))


def test_a_connect_begins_at_the_source_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as stack:
        destination = Destination(socket.AF_INET, listening.getsockname())
        connecting = stack.enter_context(begin_connect(destination, "127.8.0.1"))
        accepted, peer = listening.accept()
        accepted.close()
        assert peer == connecting.getsockname() and peer[0] == "127.8.0.1"


@pytest.mark.parametrize(
    ("source", "number", "words"),
    [
        ("192.0.2.1", errno.EADDRNOTAVAIL, "source_address 192.0.2.1: Cannot assign requested address"),
        ("::1", errno.EAFNOSUPPORT, "source_address ::1 is of another address family than the server"),
    ],
)
def test_a_source_address_that_cannot_be_is_told(source: str, number: int, words: str) -> None:
    with pytest.raises(OSError, match=words) as caught:
        begin_connect(Destination(socket.AF_INET, ("127.0.0.1", 104)), source)
    assert caught.value.errno == number


def test_a_connect_is_under_way_or_fails_with_its_errno() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        sock = begin_connect(Destination(socket.AF_INET, ("127.0.0.1", port)))
        select.select([], [sock], [], 5)
        assert connect_error(sock) == 0
        sock.close()
    sock = begin_connect(Destination(socket.AF_INET, ("127.0.0.1", port)))
    select.select([], [sock], [], 5)
    assert connect_error(sock) == errno.ECONNREFUSED
    sock.close()
    with pytest.raises(OSError, match=r"unreachable|not permitted|Invalid") as raised:
        begin_connect(Destination(socket.AF_INET, ("255.255.255.255", 104)))
    assert raised.value.errno


class NameService:
    """Answers look-ups as long as it is up; then it says nothing at all, as those that are down do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.up = asyncio.Event()
        self.up.set()
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._getaddrinfo)

    async def _getaddrinfo(self, host: str, port: int, **_: object) -> list[object]:
        self.asked += 1
        await self.up.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", port))]


PACS = Server("pacs.example.org", 104)
FOUND = (Destination(socket.AF_INET, ("10.0.0.1", 104)),)


async def test_a_name_service_that_says_nothing_is_not_waited_for_where_an_answer_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dialling, "_PATIENCE", 0.01)

    names, resolver = NameService(monkeypatch), Resolver()
    assert await resolver.resolve(PACS) == FOUND
    names.up.clear()
    async with asyncio.timeout(5):
        assert await resolver.resolve(PACS) == FOUND
        assert await resolver.resolve(PACS) == FOUND
    assert names.asked == 2, "the look-up that hangs is shared: it occupies a thread"
    names.up.set()


async def test_who_has_less_time_waits_less(monkeypatch: pytest.MonkeyPatch) -> None:
    names, resolver = NameService(monkeypatch), Resolver()
    await resolver.resolve(PACS)
    names.up.clear()
    async with asyncio.timeout(dialling._PATIENCE / 2):
        assert await resolver.resolve(PACS, 0.01) == FOUND
    names.up.set()


async def test_who_gives_up_waiting_takes_the_look_up_from_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    names, resolver = NameService(monkeypatch), Resolver()
    names.up.clear()
    impatient, patient = (asyncio.ensure_future(resolver.resolve(PACS)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    names.up.set()
    assert await patient == FOUND
    assert names.asked == 1
