"""A demo that loses a port after it has chosen it, as with two demos started at once, names the port and the remedy."""

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cli.demo import start_gateway
from proxy.cli.output import CommandError
from proxy.demo.site import Site
from tests.support.ports import free_port


class Ready(http.server.BaseHTTPRequestHandler):
    """The admin address of another gateway, which is ready."""

    def do_GET(self) -> None:
        """Answer every path with 200."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ready\n")

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""


@contextlib.contextmanager
def another_gateway(admin: int) -> Iterator[None]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", admin), Ready) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path, free_port(), free_port())
    site.prepare(free_port(), free_port())
    return site


def test_the_ready_gateway_of_another_demo_is_not_taken_for_our_own(site: Site) -> None:
    taken = socket.create_server(("127.0.0.1", site.port))
    with taken, another_gateway(site.admin), pytest.raises(CommandError) as caught:
        start_gateway(site)
    assert str(caught.value) == f"port {site.port} of 127.0.0.1 is taken; choose another: dicomgate demo --port N"


def test_a_taken_admin_port_is_named(site: Site) -> None:
    with another_gateway(site.admin), pytest.raises(CommandError) as caught:
        start_gateway(site)
    assert str(caught.value) == f"port {site.admin} of 127.0.0.1 is taken; start the demo again: it chooses another one"
