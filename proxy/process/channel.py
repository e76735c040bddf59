"""Messages between the supervisor and one worker, over a socket pair.

A message is a kind and a value, pickled behind its length: both ends are this program, started by each other. Control
messages always go; what may be lost (log lines) is dropped and counted while too much waits.
"""

import asyncio
import pickle
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

_LENGTH = struct.Struct(">I")
#: Bytes that may wait for the supervisor before log lines are dropped (docs/architecture.md, "Processes").
MAX_WAITING = 1024 * 1024


def encode(kind: str, value: Any = None) -> bytes:
    """A message as it is sent."""
    # Of an enumeration a pickle holds the name of its module too, and is four times as slow to read.
    data = pickle.dumps((str(kind), value), pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


class Channel(asyncio.Protocol):
    """One end. `received(kind, value)` is called for every message, `lost()` once when the other end is gone."""

    def __init__(self, received: Callable[[str, Any], None], lost: Callable[[], None], *, gather: float = 0.0) -> None:
        """`gather`: for so many seconds behind a read messages wait, and are then read together.

        To wake up costs several times as much as to read a message. One alone waits for nothing.
        """
        self._received = received
        self._lost = lost
        self._gather = gather
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._closed = asyncio.Event()
        self.dropped = 0

    async def open(self, sock: socket.socket) -> None:
        """Speak over a connected socket, which is the channel's from here on. Messages may come before this returns."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=sock)

    def send(self, kind: str, value: Any = None) -> None:
        """Send a message; it waits as long as it has to. Nothing is sent to an end that is gone."""
        if self._transport is not None:
            self._transport.write(encode(kind, value))

    def offer(self, kind: str, value: Any) -> bool:
        """Send a message that may be lost: dropped and counted while the other end is too slow. Whether it went."""
        if self._transport is None or self._transport.get_write_buffer_size() > MAX_WAITING:
            self.dropped += 1
            return False
        self.send(kind, value)
        return True

    async def close(self) -> None:
        """Close this end when what waits is written, or the other end is gone."""
        if self._transport is not None:
            self._transport.close()
        await self._closed.wait()

    # --- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            end = start + _LENGTH.size + _LENGTH.unpack_from(buffer, start)[0]
            if len(buffer) < end:
                break
            kind, value = pickle.loads(memoryview(buffer)[start + _LENGTH.size : end])  # noqa: S301 - our own child
            start = end
            self._received(kind, value)
        del buffer[:start]
        if self._gather and not buffer and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(self._gather, self._read_on)

    def _read_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop."""
        self._transport = None
        self._closed.set()
        self._lost()
