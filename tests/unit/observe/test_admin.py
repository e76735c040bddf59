import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import uvloop

from proxy.config.values import Config
from proxy.observe import admin
from proxy.observe.admin import AdminError, AdminServer
from proxy.observe.metrics import Metrics, Snapshot

State = tuple[bool, str]


@pytest.fixture(autouse=True)
def uvloop_as_in_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests of this file run on uvloop, whose transports differ from asyncio's in ends and resets."""
    monkeypatch.setattr(asyncio.events, "new_event_loop", uvloop.new_event_loop)


@contextlib.asynccontextmanager
async def admin_server(
    config: Config, *, ready: State = (True, "ready"), fails: bool = False
) -> AsyncIterator[AdminServer]:
    """An admin server on a free port. `fails`: metrics cannot be collected."""

    async def snapshots() -> list[Snapshot]:
        if fails:
            raise RuntimeError("made to fail")
        return [Metrics(config).snapshot()]

    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
    server = AdminServer(("127.0.0.1", 0), metrics=snapshots, ready=lambda: ready)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def ask(server: AdminServer, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers (names in lower case) and body. The server closes the connection."""
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("ascii").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(status.split()[1]), headers, body


async def ended_without_answer(reader: asyncio.StreamReader) -> bool:
    """Return whether the server ends the connection, by FIN or RST, without sending a byte."""
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: gate", *headers, "", ""]).encode()


async def test_metrics_in_the_requested_format(config: Config) -> None:
    async with admin_server(config) as server:
        status, headers, body = await ask(server, get("/metrics"))
        assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert b'dicomgate_connections_total{listener="dicom-tls"} 0.0\n' in body
        status, headers, body = await ask(server, get("/metrics", "Accept: application/openmetrics-text"))
        assert headers["content-type"].startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")


async def test_health_and_readiness(config: Config) -> None:
    async with admin_server(config) as server:
        for path, text in (("/healthz", b"ok\n"), ("/readyz", b"ready\n")):
            status, _, body = await ask(server, get(path))
            assert (status, body) == (200, text)


async def test_not_ready_gives_the_cause_and_is_still_healthy(config: Config) -> None:
    async with admin_server(config, ready=(False, "draining")) as server:
        status, _, body = await ask(server, get("/readyz"))
        assert (status, body) == (503, b"draining\n")
        assert (await ask(server, get("/healthz")))[0] == 200


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (get("/"), 200),
        (get("/metrics?name=x"), 200),
        (get("/nothing"), 404),
        (get("/metrics/../etc/passwd"), 404),
        (get("/metrics", "Content-Length: 0", method="POST"), 405),
        (get("/", "Content-Length: 100000000000", method="PUT"), 405),
        (get("/nothing", method="DELETE"), 404),
        (get("/" + "a" * 9000), 400),
        (get("/", "X: " + "a" * 9000), 400),
        (get("/", *(f"X{n}: y" for n in range(200))), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\xff\r\n\r\n", 400),
    ],
)
async def test_every_request_is_answered_without_naming_the_software(
    config: Config, request_bytes: bytes, expected: int
) -> None:
    async with admin_server(config) as server:
        status, headers, body = await ask(server, request_bytes)
        assert status == expected
        assert headers["server"] == "dicomgate"
        assert b"aaaa" not in body
        assert ("allow" in headers) == (status == 405)


async def test_head_has_no_body(config: Config) -> None:
    async with admin_server(config) as server:
        status, headers, body = await ask(server, get("/healthz", method="HEAD"))
        assert (status, headers["content-length"], body) == (200, "3", b"")


async def test_our_own_failure_is_a_500_and_logged(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    async with admin_server(config, fails=True) as server:
        status, _, body = await ask(server, get("/metrics"))
        assert (status, body) == (500, b"internal server error\n")
    assert [record.getMessage() for record in caplog.records] == ["admin server: /metrics failed"]


async def test_bad_requests_are_not_logged(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    async with admin_server(config) as server:
        await ask(server, b"\x16\x03\x01\r\n\r\n")
        await ask(server, get("/"))
    assert caplog.records == []


@pytest.mark.parametrize("sent", [b"", b"GET /metr", b"GET / HTTP/1.1\r\nX: "])
async def test_a_slow_request_ends_at_the_deadline(
    config: Config, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(admin, "DEADLINE_S", 0.02)

    async with admin_server(config) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(sent)
        assert await ended_without_answer(reader)
        writer.close()


async def test_connections_are_capped(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "MAX_CONNECTIONS", 2)

    async with admin_server(config) as server:
        kept = [await asyncio.open_connection(*server.address) for _ in range(2)]
        reader, writer = await asyncio.open_connection(*server.address)
        assert await ended_without_answer(reader)
        writer.close()
        for reader, writer in kept:
            writer.write(get("/healthz"))
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()


async def test_the_error_for_an_address_in_use_names_the_key(config: Config) -> None:
    async with admin_server(config) as server:
        second = AdminServer(server.address, metrics=server._metrics, ready=lambda: (True, ""))
        with pytest.raises(AdminError) as caught:
            await second.start()
        await second.close()
        assert str(caught.value).startswith(
            f"admin.listen: 127.0.0.1:{server.address[1]}: another process listens there (`ss "
        )
