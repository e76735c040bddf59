"""Messages between the supervisor and one worker, over a socket pair.

A message is a kind and a value, pickled, after its length in four bytes. Pickle is safe here because both ends are
this program and one started the other.

There are two classes of messages. Control messages are always sent, and wait in memory if the other end is slow. Log
lines are dropped and counted while more than MAX_WAITING bytes wait, so that a stalled supervisor cannot fill the
memory of a worker. Order is kept within and between the classes: a record that follows OPENED arrives after it.
"""

import asyncio
import pickle
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

_LENGTH = struct.Struct(">I")
#: Bytes that may wait for the supervisor before log lines are dropped: about a thousand access records.
MAX_WAITING = 1024 * 1024


def encode(kind: str, value: Any = None) -> bytes:
    """Return the bytes of a message."""
    # The kind as plain text: a pickled enumeration contains its module's name and takes four times as long to read.
    data = pickle.dumps((str(kind), value), pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


class Channel(asyncio.Protocol):
    """One end of a channel. Calls `received(kind, value)` for each message, `lost()` once the other end has closed."""

    def __init__(self, received: Callable[[str, Any], None], lost: Callable[[], None], *, gather: float = 0.0) -> None:
        """`gather`: seconds after a read without another one, so that messages gather and are read together.

        Waking up costs several times as much as reading a message. A message after a pause is read at once.
        """
        self._received = received
        self._lost = lost
        self._gather = gather
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._closed = asyncio.Event()
        self.dropped = 0

    async def open(self, sock: socket.socket) -> None:
        """Take over a connected socket. Messages may be received before this returns."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=sock)

    def send(self, kind: str, value: Any = None) -> None:
        """Send a control message. After the other end has closed, drop it."""
        if self._transport is not None:
            self._transport.write(encode(kind, value))

    def offer(self, kind: str, value: Any) -> bool:
        """Send a message that may be lost. Return False if it was dropped and counted, as the other end is too slow."""
        # asyncio buffers without a limit of its own, so the limit is here.
        if self._transport is None or self._transport.get_write_buffer_size() > MAX_WAITING:
            self.dropped += 1
            return False
        self.send(kind, value)
        return True

    async def close(self) -> None:
        """Write all waiting messages, then close this end. Return early if the other end has closed."""
        if self._transport is not None:
            self._transport.close()
        await self._closed.wait()

    # --- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Deliver the complete messages."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            end = start + _LENGTH.size + _LENGTH.unpack_from(buffer, start)[0]
            if len(buffer) < end:
                break
            # Without a copy. The view must not outlive this line: a bytearray with a view cannot be shortened.
            kind, value = pickle.loads(memoryview(buffer)[start + _LENGTH.size : end])  # noqa: S301 - our own process
            start = end
            self._received(kind, value)
        del buffer[:start]
        # Read an incomplete message to its end without a pause: a large one (a START with its certificates) arrives in
        # many parts, and each would cost a pause.
        if self._gather and not buffer and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(self._gather, self._read_on)

    def _read_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Report that the other end has closed."""
        self._transport = None
        self._closed.set()
        self._lost()
