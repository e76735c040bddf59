"""The control socket, for root and the user of the gateway: one JSON request and one JSON answer per connection.

Each is one line. `ControlServer` is the gateway's side, `ask` that of the command line.
"""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

_LONGEST_REQUEST = 64 * 1024  # bytes
_LONGEST_ANSWER = 64 * 1024 * 1024  # bytes: `status` lists every association, at some hundred bytes each
_PEER_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
_PATIENCE = 5.0  # seconds for a request to arrive

Handler = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class ControlError(Exception):
    """The control socket cannot be used; the text names it and the cause."""


class ControlServer:
    """Answers a request `{"verb": ..., ...}` with the mapping that `handler(verb, arguments)` returns."""

    def __init__(self, path: str, handler: Handler) -> None:
        self._path = Path(path)
        self._handler = handler
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen, in place of the socket of a gateway that was killed. Raises `ControlError`."""
        try:
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            if self._path.is_socket():
                # bind(2) fails if the file exists, also one that a killed gateway left. Unlinking the socket of a
                # running gateway would make that gateway unreachable, so connect to it first.
                if await _is_served(self._path):
                    raise ControlError(f"control: {self._path}: another gateway listens there")
                self._path.unlink()
            # bind(2) creates the file with the mode that the umask leaves. A chmod afterwards would leave a moment in
            # which every user can connect.
            before = os.umask(0o177)
            try:
                self._server = await asyncio.start_unix_server(self._serve, self._path, limit=_LONGEST_REQUEST)
            finally:
                os.umask(before)
        except OSError as error:
            hint = "set `control` to a path that dicomgate may write, or to null to run without `reload` and `status`"
            raise ControlError(f"control: {self._path}: {error.strerror or error}: {hint}") from None

    async def close(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await self._request(reader) if _allowed(writer.get_extra_info("socket")) else None
            if request is not None:
                answer = await self._handler(str(request.pop("verb", "")), request)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except OSError:
            pass  # the client has closed the connection
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> dict[str, Any] | None:
        """Read the request. Return None, and send no answer, if it is not a JSON object."""
        try:
            async with asyncio.timeout(_PATIENCE):
                request = json.loads(await reader.readuntil(b"\n"))
        except (TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return None
        return request if isinstance(request, dict) else None


def _allowed(sock: socket.socket) -> bool:
    """Return whether the client is root or the user of the gateway (SO_PEERCRED).

    The file mode demands the same. This check holds even if an operator widens the mode.
    """
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    return _PEER_CREDENTIALS.unpack(raw)[1] in (0, os.getuid())


async def _is_served(path: Path) -> bool:
    """Return whether a process listens on this socket."""
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True


async def ask(path: str, verb: str, arguments: Mapping[str, Any], patience: float) -> Mapping[str, Any]:
    """Send a request to a running gateway and return its answer.

    Raises `ControlError` if there is no gateway, or no answer within `patience` seconds.
    """
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_unix_connection(path, limit=_LONGEST_ANSWER)
            writer.write(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
            line = await reader.readline()
            writer.close()
    except TimeoutError:
        raise ControlError(f"{path}: no answer in {patience:g} s.") from None
    except OSError as error:
        raise ControlError(
            f"{path}: {error.strerror or error}: is a gateway running with this control socket?"
        ) from None
    if not line:
        text = "closed without an answer: the gateway is ending, or you are neither root nor the user that runs it."
        raise ControlError(f"{path}: {text}")
    answer: Mapping[str, Any] = json.loads(line)
    return answer
