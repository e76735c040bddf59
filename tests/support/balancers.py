"""HAProxy and nginx as load balancers: TCP mode, TLS passes through them."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.listening import wait_listening
from tests.support.ports import free_port
from tests.support.processes import Child, clean_environment

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


@contextlib.contextmanager
def haproxy(folder: Path, upstream: int, *, bind: str = "", server: str = "") -> Iterator[int]:
    """HAProxy before a port of 127.0.0.1; its own port. `bind`, `server`: options such as accept-proxy, send-proxy."""
    need("haproxy")
    port, config = free_port(), folder / "haproxy.cfg"
    config.write_text(f"""\
defaults
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
frontend dicom
  bind 127.0.0.1:{port} {bind}
  default_backend gate
backend gate
  server gate 127.0.0.1:{upstream} {server}
""")
    with _started("haproxy", "-db", "-f", str(config), port=port):
        yield port


@contextlib.contextmanager
def nginx(folder: Path, upstream: int) -> Iterator[int]:
    """Run nginx stream in front of a port of 127.0.0.1, with a PROXY header (version 1 only); yield its own port."""
    need("nginx", STREAM_MODULE)
    port, config, log = free_port(), folder / "nginx.conf", folder / "error.log"
    config.write_text(f"""\
load_module {STREAM_MODULE};
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {log};
events {{ worker_connections 100; }}
stream {{
  server {{
    listen 127.0.0.1:{port};
    proxy_pass 127.0.0.1:{upstream};
    proxy_protocol on;
  }}
}}
""")
    with _started("nginx", "-c", str(config), "-p", str(folder), "-e", str(log), port=port):
        yield port


def need(program: str, module: Path | None = None) -> None:
    """Skip the test if the program is missing; with DICOMGATE_REQUIRE_PEERS=1 that is a failure."""
    if shutil.which(program, path=_PATH) is None or (module is not None and not module.exists()):
        required = os.environ.get("DICOMGATE_REQUIRE_PEERS") == "1"
        (pytest.fail if required else pytest.skip)(f"{program} is not installed")


@contextlib.contextmanager
def _started(*command: str, port: int) -> Iterator[None]:
    child = Child(command, env=clean_environment({"PATH": _PATH}))
    try:
        wait_listening(child, port)
        yield
    finally:
        child.end()
