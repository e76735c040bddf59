"""Loads beside a test, each in a process of its own: their CPU time is not that of the process that measures.

A job is a function of this module. Its argument `over` returns True when the job is to end; it returns its count.
"""

import contextlib
import multiprocessing
import select
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from proxy.pdu import PduType
from tests.support.archive import instance, store
from tests.support.attempts import attempt
from tests.support.client import client_context, connect, release, request
from tests.support.processes import PATIENCE
from tests.support.site import HOST

Over = Callable[..., bool]  # with an argument, waits for so many seconds
_processes = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of the test
_NO_PORT_YET = 24  # IP_BIND_ADDRESS_NO_PORT of ip(7): the port is chosen for the destination, not for all of them
_BATCH = 64  # connections opened between two checks of the open ones
_MOST = 4_000  # unanswered connections of a storm: a full queue takes no more
_SLICE = 64 * 1024


class Load:
    """A job that runs."""

    def __init__(self, job: Callable[..., Any], *arguments: Any) -> None:
        self._channel, theirs = _processes.Pipe()
        self._process = _processes.Process(target=_run, args=(theirs, job, arguments), daemon=True)
        self._process.start()
        theirs.close()  # a process that fails at its start ends the wait, and its traceback stands above
        try:
            assert self._channel.poll(3 * PATIENCE), "the load does not start"
            self._channel.recv()
        except BaseException:
            self.close()
            raise

    def end(self) -> Any:
        """Let the job end, and return its count."""
        self._channel.send(None)
        assert self._channel.poll(3 * PATIENCE), "the load does not end"
        return self._channel.recv()  # EOFError: its traceback stands above

    def close(self) -> None:
        """Kill the process."""
        end_process(self._process)
        self._channel.close()


def end_process(process: BaseProcess) -> None:
    """SIGTERM, SIGKILL if that does not help."""
    process.terminate()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join(PATIENCE)


@contextlib.contextmanager
def load(job: Callable[..., Any], *arguments: Any) -> Iterator[Load]:
    """Run the job for as long as the body runs."""
    running = Load(job, *arguments)
    try:
        yield running
    finally:
        running.close()


def _run(channel: Connection, job: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    channel.send(None)
    result = job(channel.poll, *arguments)
    channel.send(result)


# --- jobs ------------------------------------------------------------------------------------------------------------


def connects(over: Over, port: int, sources: Sequence[str], rate: int) -> Counter[str]:
    """TCP connections that say nothing, so many a second: how many were `opened`, and how many of them `refused`."""
    return _storm(over, _Storm(port, sources, _Silence), rate)


def hellos(over: Over, port: int, sources: Sequence[str], rate: int) -> Counter[str]:
    """Handshakes that end with the gateway's part of them: how many were `opened`, and how many of them `refused`."""
    first = _Handshake(client_context())
    first.step(None)
    hello = first.to_send()
    return _storm(over, _Storm(port, sources, lambda: _Silence(hello)), rate)


def handshakes(
    over: Over, port: int, sources: Sequence[str], rate: int, most: int, certificate: tuple[Path, Path] | None = None
) -> Counter[str]:
    """Full TLS handshakes, so many a second and at once at the most: `opened`, `refused`, or `done` and closed."""
    context = client_context(certificate=certificate)
    return _storm(over, _Storm(port, sources, lambda: _Handshake(context), most), rate)


def _storm(over: Over, storm: "_Storm", rate: int) -> Counter[str]:
    began = time.monotonic()
    while not over():
        due = int((time.monotonic() - began) * rate) - storm.counts["opened"]
        for _ in range(min(due, _BATCH, storm.room)):
            storm.open()
        storm.look(0.0 if due > _BATCH else 0.001)
    storm.close()
    return storm.counts


class _Stranger(Protocol):
    """The client's side of one connection."""

    def step(self, data: bytes | None) -> str | None:
        """Take what was received (None: connected) and return the outcome, if there is one yet."""

    def to_send(self) -> bytes:
        """The bytes to send next."""


class _Silence:
    """A client that sends at most one message and waits to be closed."""

    def __init__(self, hello: bytes = b"") -> None:
        self._hello = hello

    def step(self, data: bytes | None) -> str | None:
        return None

    def to_send(self) -> bytes:
        hello, self._hello = self._hello, b""
        return hello


class _Handshake:
    """A TLS handshake to its end."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=HOST)

    def step(self, data: bytes | None) -> str | None:
        if data is not None:
            self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return None
        return "done"

    def to_send(self) -> bytes:
        return self._outgoing.read()


class _Storm:
    """Connections of strangers; each is dropped after its outcome, or when the other end has closed it."""

    def __init__(self, port: int, sources: Sequence[str], stranger: Callable[[], _Stranger], most: int = _MOST) -> None:
        self._most = most
        self.counts: Counter[str] = Counter(opened=0, refused=0)
        self._port, self._sources, self._stranger = port, sources, stranger
        self._epoll = select.epoll()
        self._open: dict[int, tuple[socket.socket, _Stranger]] = {}

    @property
    def room(self) -> int:
        return self._most - len(self._open)

    def open(self) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, _NO_PORT_YET, 1)
        sock.bind((self._sources[self.counts["opened"] % len(self._sources)], 0))
        sock.connect_ex(("127.0.0.1", self._port))
        self._epoll.register(sock, select.EPOLLOUT)
        self._open[sock.fileno()] = sock, self._stranger()
        self.counts["opened"] += 1

    def look(self, timeout: float) -> None:
        for descriptor, mask in self._epoll.poll(timeout, 4 * _BATCH):
            sock, stranger = self._open[descriptor]
            try:
                outcome = self._step(sock, stranger, connected=bool(mask & select.EPOLLOUT))
            except OSError:  # of the socket, or an alert of TLS
                outcome = "refused"
            if outcome is not None:
                self.counts[outcome] += 1
                del self._open[descriptor]
                sock.close()

    def _step(self, sock: socket.socket, stranger: _Stranger, *, connected: bool) -> str | None:
        data = None if connected else sock.recv(_SLICE)
        if data == b"":
            return "refused"
        outcome = stranger.step(data)
        if said := stranger.to_send():
            sock.send(said)
        if connected:
            self._epoll.modify(sock, select.EPOLLIN)
        return outcome

    def close(self) -> None:
        for sock, _ in self._open.values():
            sock.close()
        self._epoll.close()


def stores(
    over: Over,
    port: int,
    associations: int,
    each_second: float,
    size: int,
    certificate: tuple[Path, Path] | None = None,
) -> int:
    """Instances on so many associations, at a steady rate on each where the gateway is quick: how many were stored."""
    context = client_context(certificate=certificate)
    counts: Counter[str] = Counter(stored=0)
    ended = threading.Event()

    def sender() -> None:
        one = instance(size)
        with attempt(port, context) as wire:
            began, sent = time.monotonic(), 0
            while not ended.wait(max(0.0, began + sent / each_second - time.monotonic())):
                store(wire, one)
                sent += 1
                counts["stored"] += 1
            release(wire)

    with _threads(sender, associations):
        over(None)
        ended.set()
    return counts["stored"]


def rejects(over: Over, port: int, titles: Sequence[str], most: int, pause: float = 0) -> Counter[str]:
    """Send requests without TLS that are refused, one by one, until `over` or so many; return the answers."""
    counts: Counter[str] = Counter()
    asked = [request(calling=title) for title in titles]
    while not over(pause) and counts.total() < most:
        with connect(port) as wire:
            wire.send(asked[counts.total() % len(asked)])
            answer = wire.receive_pdu()
            counts[answer[7:10].hex() if answer[:1] == bytes([PduType.A_ASSOCIATE_RJ]) else "other"] += 1
    return counts


@contextlib.contextmanager
def _threads(target: Callable[[], None], count: int) -> Iterator[None]:
    threads = [threading.Thread(target=target, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()
