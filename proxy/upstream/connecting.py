"""Opens connections of the C-ECHO client, around two traits of uvloop: threads to connect, and logged cancellations."""

import asyncio
import os
import socket
from collections.abc import Coroutine

from proxy.upstream.dialling import Destination, begin_connect, connect_error

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def undisturbed(opening: Coroutine[None, None, Streams]) -> Streams:
    """Await `opening` without cancelling it: if the caller is cancelled, it runs to its end and is closed then.

    uvloop logs an error when a TLS handshake is cancelled.
    """
    task = asyncio.ensure_future(opening)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_drop)
        raise


def _drop(opened: "asyncio.Task[Streams]") -> None:
    if not opened.cancelled() and opened.exception() is None:
        opened.result()[1].transport.abort()


async def connect(destination: Destination, source: str | None, preface: bytes) -> socket.socket:
    """Return a connected socket, after sending the preface. Raises OSError with its errno.

    Not by uvloop's `sock_connect`: it needs a thread, and all threads may be waiting for a name service.
    """
    loop = asyncio.get_running_loop()
    sock = begin_connect(destination, source)
    try:
        writable = asyncio.Event()
        loop.add_writer(sock, writable.set)
        try:
            await writable.wait()
        finally:
            loop.remove_writer(sock)
        error = connect_error(sock)  # writable means that the connect has ended, not that it succeeded
        if error:
            raise OSError(error, os.strerror(error))
        await loop.sock_sendall(sock, preface)
    except BaseException:
        sock.close()
        raise
    return sock
