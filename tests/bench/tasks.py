"""Generators on one epoll: how one process holds many connections without threads that wait for each other.

A task yields the readiness that it waits for (WANT_READ, WANT_WRITE, or both), or PARKED until `resume`.
"""

import select
import socket
import ssl
from collections.abc import Callable, Generator, Iterator
from typing import Any

WANT_READ, WANT_WRITE, PARKED = select.EPOLLIN, select.EPOLLOUT, 0
Task = Generator[int, None, None]
_SLICE = 256 * 1024
_TURN = 64


class Tasks:
    """Runs tasks, each on a socket of its own."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._tasks: dict[int, tuple[Task, int]] = {}
        self._waiting: set[int] = set()  # descriptors of tasks that are not parked

    def start(self, sock: socket.socket, task: Task) -> None:
        """Run the task to its first wait."""
        self._epoll.register(sock, PARKED)
        self._tasks[sock.fileno()] = (task, PARKED)
        self._step(sock.fileno())

    def resume(self, sock: socket.socket) -> None:
        """Let a parked task go on."""
        self._step(sock.fileno())

    def run(self, patience: float | None = None) -> None:
        """Until every task has ended or is parked. Fails where nothing at all happens for so many seconds."""
        while self._waiting:
            events = self._epoll.poll(patience, _TURN)
            assert events, f"nothing has come for {patience} s"
            for descriptor, _ in events:
                self._step(descriptor)

    def _step(self, descriptor: int) -> None:
        task, before = self._tasks[descriptor]
        try:
            mask = next(task)
        except StopIteration:
            del self._tasks[descriptor]
            self._waiting.discard(descriptor)
            return
        if mask != before:
            (self._waiting.add if mask else self._waiting.discard)(descriptor)
            self._epoll.modify(descriptor, mask)
            self._tasks[descriptor] = (task, mask)


def attempt(operation: Callable[..., int], *arguments: Any) -> int | None:
    """The number of bytes that went, or None where the operation has to wait. 0 is the end of the stream."""
    try:
        return operation(*arguments)
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return None


def shake_hands(sock: ssl.SSLSocket) -> Task:
    """The TLS handshake, of either side."""
    while True:
        try:
            sock.do_handshake()
            return
        except ssl.SSLWantReadError:
            yield WANT_READ
        except ssl.SSLWantWriteError:
            yield WANT_WRITE


def send(sock: socket.socket, data: bytes) -> Task:
    """Send all of the data, as one write if the socket takes it."""
    view = memoryview(data)
    while view:
        sent = attempt(sock.send, view)
        if sent is None:
            yield WANT_WRITE
        else:
            view = view[sent:]


def receive(sock: socket.socket, size: int) -> Generator[int, None, bytes]:
    """Exactly `size` bytes; fewer where the stream ends before."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        received = attempt(sock.recv_into, view)
        if received is None:
            yield WANT_READ
        elif not received:
            break
        else:
            view = view[received:]
    return bytes(data[: size - len(view)])


_discarded = memoryview(bytearray(_SLICE))


def discard(sock: socket.socket, size: int) -> Task:
    """Read `size` bytes and forget them. Fails where the stream ends before.

    One read per turn, so that no connection holds up the others; a plain socket's bytes are not even copied.
    """
    flags = 0 if isinstance(sock, ssl.SSLSocket) else socket.MSG_TRUNC
    while size:
        received = attempt(sock.recv_into, _discarded, min(size, _SLICE), flags)
        if received is None:
            yield WANT_READ
            continue
        assert received, "the stream has ended early"
        size -= received


def exchange(sock: socket.socket, writes: Iterator[bytes], size: int) -> Task:
    """Send all `writes` and read `size` bytes, both at once."""
    view = memoryview(b"")
    while True:
        mask = 0
        if not view:
            view = memoryview(next(writes, b""))
        if view:
            sent = attempt(sock.send, view)
            view = view[sent or 0 :]
            mask |= WANT_WRITE if sent is None else 0
        if size:
            received = attempt(sock.recv_into, _discarded, min(size, _SLICE))
            assert received != 0, "the stream has ended early"
            size -= received or 0
            mask |= WANT_READ if received is None else 0
        if not view and not size:
            view = memoryview(next(writes, b""))
            if not view:
                return
        elif mask == (WANT_WRITE if view else 0) | (WANT_READ if size else 0):
            yield mask
