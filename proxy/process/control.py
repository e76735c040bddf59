"""The control socket: one JSON request per connection, one JSON answer. For root and the user that runs the gateway."""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

_LONGEST_REQUEST = 64 * 1024
_PEER_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
_PATIENCE = 5.0  # seconds for the request to arrive

Handler = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class ControlError(Exception):
    """The control socket cannot be used; the text says which and why."""


class ControlServer:
    """Answers `{"verb": ..., ...}` with what `handler(verb, arguments)` returns."""

    def __init__(self, path: str, handler: Handler) -> None:
        self._path = Path(path)
        self._handler = handler
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. A socket that a dead gateway left behind is replaced. Raises `ControlError`."""
        try:
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            if self._path.is_socket():
                if await _answers(self._path):
                    raise ControlError(f"control: {self._path}: another gateway listens there")
                self._path.unlink()
            before = os.umask(0o177)
            try:
                self._server = await asyncio.start_unix_server(self._serve, self._path)
            finally:
                os.umask(before)
        except OSError as error:
            hint = "name a path under `control` that dicomgate may write, or null to do without `reload` and `status`"
            raise ControlError(f"control: {self._path}: {error.strerror or error}: {hint}") from None

    async def close(self) -> None:
        """Stop listening and take the socket away."""
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
            pass  # whoever asked is gone
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> dict[str, Any] | None:
        """The request; None from somebody who does not speak our language, who is not answered."""
        try:
            async with asyncio.timeout(_PATIENCE):
                request = json.loads((await reader.readuntil(b"\n"))[:_LONGEST_REQUEST])
        except (TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return None
        return request if isinstance(request, dict) else None


def _allowed(sock: socket.socket) -> bool:
    """Root, or whoever runs the gateway (SO_PEERCRED); the mode of the socket says the same."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    return _PEER_CREDENTIALS.unpack(raw)[1] in (0, os.getuid())


async def _answers(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True


async def ask(path: str, verb: str, arguments: Mapping[str, Any], patience: float) -> Mapping[str, Any]:
    """Ask a running gateway; raises `ControlError` where none answers within `patience` seconds."""
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_unix_connection(path, limit=64 * 1024 * 1024)
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
        text = "closed without an answer: only root and the user that runs the gateway may ask, and not while it ends."
        raise ControlError(f"{path}: {text}")
    answer: Mapping[str, Any] = json.loads(line)
    return answer
