"""The admin server: /metrics, /healthz and /readyz over plain HTTP, for Prometheus and probes.

It shares the event loop of the supervisor, so a client must not be able to slow it down. Each connection serves one
request and has one deadline for its whole life, and their number is limited.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web

from proxy.observe.exposition import render
from proxy.observe.metrics import Snapshot

#: Seconds from accept to the last byte of the answer. The default `scrape_timeout` of Prometheus is 10 s.
DEADLINE_S = 10.0
#: Connections at once. Two Prometheus servers and some probes need fewer than ten.
MAX_CONNECTIONS = 64
#: Bytes of the longest request line or header field, and the number of header fields.
MAX_LINE = 4096
MAX_HEADERS = 64

_INDEX = """dicomgate

/metrics  for Prometheus
/healthz  200 while the process runs
/readyz   200 while new associations are accepted, else 503 and the cause
"""


class AdminError(Exception):
    """The admin address cannot be used. The text names the address and the cause."""


class AdminServer:
    """Serves on `listen` (address and port; port 0: any free port) on the running loop.

    `metrics` collects the snapshots of all processes. `ready` returns whether new associations are accepted, and a word
    for the answer of /readyz.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        *,
        metrics: Callable[[], Awaitable[Sequence[Snapshot]]],
        ready: Callable[[], tuple[bool, str]],
    ) -> None:
        self._listen = listen
        self._metrics = metrics
        self._ready = ready
        self._http: _Server | None = None
        self._sockets: asyncio.Server | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Return the address and port in use. For port 0 it is the port that the kernel chose."""
        if self._sockets is None:
            return self._listen
        host, port = self._sockets.sockets[0].getsockname()[:2]
        return host, port

    async def start(self) -> None:
        """Listen. Raises `AdminError`."""
        host, port = self._listen
        self._http = _Server(self._answer)
        try:
            self._sockets = await asyncio.get_running_loop().create_server(self._http, host, port)
        except OSError as error:
            why = error.strerror or str(error)
            if error.errno == errno.EADDRINUSE:
                why = f"another process listens there (`ss -ltnp 'sport = :{port}'` shows it)"
            raise AdminError(f"admin.listen: {host}:{port}: {why}") from error

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._sockets is not None:
            self._sockets.close()
        if self._http is not None:
            await self._http.shutdown(timeout=1.0)  # seconds for requests under way

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path not in ("/", "/metrics", "/healthz", "/readyz"):
            return _text("not found\n", HTTPStatus.NOT_FOUND)
        if request.method not in ("GET", "HEAD"):
            refusal = _text("only GET and HEAD\n", HTTPStatus.METHOD_NOT_ALLOWED)
            refusal.headers["Allow"] = "GET, HEAD"
            return refusal
        if request.path == "/metrics":
            snapshots = await self._metrics()  # on the loop: it asks the workers
            # In a thread: with many tenants it takes tens of milliseconds, for which it would block the event loop.
            body, content_type = await asyncio.to_thread(render, snapshots, request.headers.get("Accept", ""))
            return _response(body, content_type, HTTPStatus.OK)
        if request.path == "/readyz":
            is_ready, why = self._ready()
            return _text(f"{why}\n", HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE)
        return _text("ok\n" if request.path == "/healthz" else _INDEX, HTTPStatus.OK)


class _Server(web.Server):
    """aiohttp's server with `_Connection` as its connections."""

    def __init__(self, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        super().__init__(answer)

    def __call__(self) -> web.RequestHandler:
        return _Connection(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
            lingering_time=0,  # do not read the rest of a request body after the answer
        )


class _Connection(web.RequestHandler):
    """A connection for one request. Neither trickled bytes nor a client that does not read extend its deadline."""

    __slots__ = ("_deadline", "_server")

    def __init__(self, server: _Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        abort = cast(asyncio.Transport, transport).abort
        # After the base class has added this connection to the server's.
        if len(self._server.connections) > MAX_CONNECTIONS:
            abort()
        self._deadline = asyncio.get_running_loop().call_later(DEADLINE_S, abort)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer without repeating the request, which aiohttp would. Log only faults of the gateway."""
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log_exception("admin server: %s failed", request.path, exc_info=exc)
        return _text(f"{HTTPStatus(status).phrase.lower()}\n", HTTPStatus(status))


def _text(text: str, status: HTTPStatus) -> web.Response:
    return _response(text.encode(), "text/plain; charset=utf-8", status)


def _response(body: bytes, content_type: str, status: HTTPStatus) -> web.Response:
    # By default the header `Server` contains the versions of aiohttp and Python.
    headers = {"Content-Type": content_type, "Server": "dicomgate", "Cache-Control": "no-store"}
    response = web.Response(body=body, status=status, headers=headers)
    response.force_close()
    return response
