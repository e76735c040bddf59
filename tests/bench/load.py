"""The load generator, a process of its own: TLS requestors that do one kind of work each.

A job is a generator. It yields once when its associations stand and are warm, and once with its measurements; in
between it works, and after that it ends its associations. The process that started it tells it when to go on.
"""

import itertools
import socket
import ssl
import statistics
import time
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection
from typing import Any

from proxy.pdu import PduType, encode_release_rq
from tests.bench import instances
from tests.bench.tasks import PARKED, Task, Tasks, discard, exchange, receive, send, shake_hands
from tests.support.pdus import encode_release_rp
from tests.support.site import HOST

Result = dict[str, Any]
Job = Generator[Result, None, None]
_ACCEPT = len(instances.accept(instances.ECHO))  # the same for every title: it is padded
_PATIENCE = 60.0
_ABREAST = 8  # associations that are opened, or used, at a time where there are a thousand


def serve(channel: Connection) -> None:
    """Run the jobs that come, (name, port, arguments) each, until the process is ended."""
    while True:
        name, port, arguments = channel.recv()
        for result in JOBS[name](port, **arguments):
            channel.send(result)
            channel.recv()
        channel.send({})


def _context() -> ssl.SSLContext:
    """TLS 1.3 alone, so that all proxies are measured with the same handshake and cipher."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_CONTEXT = _context()


def _connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class _Requestor:
    """One association, driven without blocking. `latencies`: seconds from an instance's first byte to its answer."""

    def __init__(self, port: int, called: str) -> None:
        plain = _connect(port)
        plain.setblocking(False)
        self.sock = _CONTEXT.wrap_socket(plain, server_hostname=HOST, do_handshake_on_connect=False)
        self.called = called
        self.latencies: list[float] = []
        self._trigger = instances.C_GET_RQ

    def associate(self) -> Task:
        """TLS handshake and association."""
        yield from shake_hands(self.sock)
        yield from send(self.sock, instances.request(self.called))
        answer = yield from receive(self.sock, _ACCEPT)
        assert answer[:1] == bytes([PduType.A_ASSOCIATE_AC]), answer

    def release(self) -> Task:
        """A-RELEASE, and the end of the connection."""
        yield from send(self.sock, encode_release_rq())
        yield from receive(self.sock, len(encode_release_rp()))
        self.sock.close()

    def transfer(self) -> Task:
        """Transfer one instance to the PACS, or from it, or both, with its answer."""
        begun = time.perf_counter()
        if (stored := instances.STORE.get(self.called)) is not None:
            for pdu in stored.pdus:
                yield from send(self.sock, pdu)
            yield from receive(self.sock, len(instances.C_STORE_RSP))
        elif (got := instances.GET.get(self.called)) is not None:
            yield from send(self.sock, self._trigger)
            self._trigger = instances.C_STORE_RSP
            yield from discard(self.sock, got.wire_size)
        else:
            both = instances.BOTH[self.called]
            yield from exchange(self.sock, iter(both.pdus), both.wire_size)
        self.latencies.append(time.perf_counter() - begun)


class _Group:
    """Requestors side by side, led from one phase of their lives to the next."""

    def __init__(self) -> None:
        self._tasks = Tasks()
        self._requestors: list[_Requestor] = []

    def start(self, requestor: _Requestor, life: Task) -> None:
        """Run the task up to its first wait."""
        self._requestors.append(requestor)
        self._tasks.start(requestor.sock, life)

    def run(self) -> None:
        """Until all are parked or have ended."""
        self._tasks.run(_PATIENCE)

    def next_phase(self, abreast: int) -> float:
        """Resume so many at a time; the seconds until all are parked again or have ended."""
        begun = time.perf_counter()
        for first in range(0, len(self._requestors), abreast):
            for requestor in self._requestors[first : first + abreast]:
                self._tasks.resume(requestor.sock)
            self._tasks.run(_PATIENCE)
        return time.perf_counter() - begun


def _bulk(port: int, called: str, associations: int, each: int | None = None, seconds: float = 0) -> Job:
    """Transfers on all associations at once: `each` instances on every one, or for so many seconds."""
    requestors = [_Requestor(port, called) for _ in range(associations)]
    standing, deadline = 0, 0.0

    def life(requestor: _Requestor) -> Task:
        nonlocal standing
        yield from requestor.associate()
        standing += 1
        # Open associations transfer until the last one stands: a busy site opens associations beside running ones.
        yield from requestor.transfer()
        while standing < associations:
            yield from requestor.transfer()
        yield PARKED
        requestor.latencies.clear()
        for _ in itertools.count() if each is None else range(each):
            if each is None and time.perf_counter() >= deadline:
                break
            yield from requestor.transfer()
        yield PARKED
        yield from requestor.release()

    group = _Group()
    for requestor in requestors:
        group.start(requestor, life(requestor))
    group.run()
    yield {"cipher": " ".join(map(str, requestors[0].sock.cipher() or ()))}
    deadline = time.perf_counter() + seconds
    took = group.next_phase(associations)
    latencies = [value for requestor in requestors for value in requestor.latencies]
    yield {**_summary(latencies), "wall_s": took, "each": [len(requestor.latencies) for requestor in requestors]}
    group.next_phase(associations)


def _hold(port: int, called: str, associations: int) -> Job:
    """Opens associations and leaves them idle; then one transfer on each, where the title knows of one."""

    def life(requestor: _Requestor) -> Task:
        yield from requestor.associate()
        yield PARKED
        if called in instances.BOTH:
            yield from requestor.transfer()
        yield PARKED
        yield from requestor.release()

    group = _Group()
    for _ in range(associations):
        requestor = _Requestor(port, called)
        group.start(requestor, life(requestor))
        group.run()
    yield {}
    yield {"wall_s": group.next_phase(_ABREAST)}
    group.next_phase(_ABREAST)


def _one_by_one(port: int, called: str, count: int | None = None, seconds: float = 0) -> Job:
    """Fresh associations one by one: `count` of them, or for so many seconds; a C-ECHO on each if asked for.

    Latency: from the connection to the answer to the C-ECHO, or to the release.
    """
    _once(port, called)
    yield {}
    begun = time.perf_counter()
    latencies: list[float] = []
    while len(latencies) < count if count is not None else time.perf_counter() < begun + seconds:
        latencies.append(_once(port, called))
    yield {**_summary(latencies), "wall_s": time.perf_counter() - begun, "count": len(latencies)}


def _once(port: int, called: str) -> float:
    begun = time.perf_counter()
    with _CONTEXT.wrap_socket(_connect(port), server_hostname=HOST) as sock:
        sock.sendall(instances.request(called))
        _read(sock, _ACCEPT)
        if called == instances.ECHO:
            sock.sendall(instances.C_ECHO_RQ)
            _read(sock, len(instances.C_ECHO_RSP))
            took = time.perf_counter() - begun
        sock.sendall(encode_release_rq())
        _read(sock, len(encode_release_rp()))
        return took if called == instances.ECHO else time.perf_counter() - begun


def _read(sock: socket.socket, size: int) -> None:
    while size:
        received = len(sock.recv(size))
        assert received, "the stream has ended early"
        size -= received


def _summary(latencies: list[float]) -> Result:
    """Median and 99th percentile in milliseconds."""
    cuts = statistics.quantiles(latencies, n=100, method="inclusive") if len(latencies) > 1 else latencies * 99
    return {"p50_ms": cuts[49] * 1e3, "p99_ms": cuts[98] * 1e3}


JOBS: dict[str, Callable[..., Job]] = {"bulk": _bulk, "hold": _hold, "one_by_one": _one_by_one}
