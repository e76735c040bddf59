"""The fake PACS, a process of its own: it answers by the called AE title, as fast as one process can.

It listens on two ports, plain and TLS.
"""

import socket
import ssl
from collections.abc import Generator
from multiprocessing.connection import Connection

from proxy.pdu import PduType
from tests.bench import instances
from tests.bench.tasks import WANT_READ, Task, Tasks, discard, exchange, receive, send, shake_hands
from tests.support.pdus import encode_release_rp

_HEADER, _RELEASE_SIZE = 6, 10
_CALLED = slice(10, 26)  # of an A-ASSOCIATE-RQ (PS3.8 Table 9-11)


def serve(ready: Connection, chain: str, key: str) -> None:
    """Listen on free ports of 127.0.0.1, tell them (plain, TLS), serve until the process is ended."""
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.minimum_version = ssl.TLSVersion.TLSv1_3
    secure.load_cert_chain(chain, key)
    tasks = Tasks()
    ports = []
    for tls in (None, secure):
        listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
        listening.setblocking(False)
        tasks.start(listening, _accept(listening, tasks, tls))
        ports.append(listening.getsockname()[1])
    ready.send(ports)
    tasks.run()


def _accept(listening: socket.socket, tasks: Tasks, tls: ssl.SSLContext | None) -> Task:
    while True:
        try:
            sock, _ = listening.accept()
        except BlockingIOError:
            yield WANT_READ
            continue
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is None:
            tasks.start(sock, _visit(sock))
        else:
            secured = tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            tasks.start(secured, _secured(secured))


def _secured(sock: ssl.SSLSocket) -> Task:
    try:
        yield from shake_hands(sock)
    except OSError:  # a client that only checks whether the port is open
        sock.close()
        return
    yield from _visit(sock)


def _visit(sock: socket.socket) -> Task:
    try:
        header = yield from receive(sock, _HEADER)
        request = header + (yield from receive(sock, int.from_bytes(header[2:], "big")))
        if not request:
            return
        called = request[_CALLED].decode().strip()
        yield from send(sock, instances.accept(called))
        if called in instances.STORE:
            yield from _store(sock, instances.STORE[called])
        elif called in instances.GET:
            yield from _get(sock, instances.GET[called])
        elif called in instances.BOTH:
            yield from _both(sock, instances.BOTH[called])
        else:
            yield from _echo(sock)
        yield from receive(sock, 1)  # the requestor closes first, as PS3.8 wants it
    except ConnectionError:
        pass  # a load that was cut off
    finally:
        sock.close()


def _next(sock: socket.socket) -> Generator[int, None, bytes]:
    """Wait for the next message; its first bytes, or empty where the association was released or is gone."""
    begin = yield from receive(sock, _RELEASE_SIZE)
    if begin[:1] == bytes([PduType.A_RELEASE_RQ]):
        yield from send(sock, encode_release_rp())
        return b""
    return begin


def _store(sock: socket.socket, instance: instances.Instance) -> Task:
    while begin := (yield from _next(sock)):
        yield from discard(sock, instance.wire_size - len(begin))
        yield from send(sock, instances.C_STORE_RSP)


def _get(sock: socket.socket, instance: instances.Instance) -> Task:
    """An instance for the C-GET-RQ, and one more for each C-STORE-RSP."""
    expected = len(instances.C_GET_RQ)
    while begin := (yield from _next(sock)):
        yield from discard(sock, expected - len(begin))
        expected = len(instances.C_STORE_RSP)
        for pdu in instance.pdus:
            yield from send(sock, pdu)


def _both(sock: socket.socket, instance: instances.Instance) -> Task:
    while begin := (yield from _next(sock)):
        yield from exchange(sock, iter(instance.pdus), instance.wire_size - len(begin))


def _echo(sock: socket.socket) -> Task:
    while begin := (yield from _next(sock)):
        yield from discard(sock, len(instances.C_ECHO_RQ) - len(begin))
        yield from send(sock, instances.C_ECHO_RSP)
