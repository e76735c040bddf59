"""The gateway and its peers under measure: each terminates TLS on a port of its own and forwards to the fake PACS."""

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench import instances
from tests.support.gateway import Gateway
from tests.support.listening import wait_listening
from tests.support.ports import free_port
from tests.support.processes import Child, clean_environment
from tests.support.site import HOST, Site

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
_CONNECTIONS = 8192
#: One sender opens all of the load, so the limits for each address are as wide as the others' are.
_LIMITS = {"connections_per_address": _CONNECTIONS, "handshakes_per_address": _CONNECTIONS}
_PEERS = [
    {"name": "ct2", "aet": ["CT2", "CT3"], "from": ["10.20.1.0/24"], "allow": ["all"]},
    {"name": "us", "aet": "US*", "from": ["127.0.0.0/8"], "allow": ["all"]},
    {"name": "ct1", "aet": "CT1", "from": ["127.0.0.0/8", "::1/128"], "allow": ["all"]},
]
_LISTEN = "0A"  # of /proc/net/tcp
_SCHEDULER_CLOCK = 2  # CPUCLOCK_SCHED of the kernel's dynamic clock ids


@dataclass(frozen=True)
class Upstream:
    """The fake PACS behind a proxy: its port, plain or TLS as `HOST` by the CA of the P-256 site."""

    port: int
    tls: bool = False


@dataclass
class Target:
    """A running proxy. `name` is its name in the table."""

    name: str
    port: int
    child: Child
    stop: Callable[[], object]

    def cpu_seconds(self) -> float:
        """CPU time of all its processes and threads, ended threads included, to the nanosecond."""
        return sum(time.clock_gettime((~pid << 3) | _SCHEDULER_CLOCK) for pid in self._processes())

    def rss_kib(self) -> int:
        """Resident memory of all its processes."""
        total = 0
        for pid in self._processes():
            status = Path(f"/proc/{pid}/status").read_text()
            total += int(status.partition("VmRSS:")[2].split()[0])
        return total

    def standing(self) -> list[int]:
        """The number of requestor connections of each worker."""
        return [self._connections(pid) for pid in self._processes()[1:]]

    def _connections(self, pid: int) -> int:
        mine = set()
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                mine.add(str(descriptor.readlink()))
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        # As a set: the kernel may show a row twice while connections come and go.
        held_here = {row[9] for row in rows if row[1].endswith(f":{self.port:04X}") and row[3] != _LISTEN}
        return sum(f"socket:[{inode}]" in mine for inode in held_here)

    def _processes(self) -> list[int]:
        found = [self.child.pid]
        for pid in found:  # grows during the iteration
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        return found


def dicomgate(site: Site, folder: Path, upstream: Upstream, workers: int) -> Target:
    """The gateway with a policy, the access log in a file, and metrics."""
    port = free_port()
    config = site.one_tenant(
        site.upstream(upstream.port) if upstream.tls else upstream.port,
        port=port,
        called_aets=instances.CALLED,
        peers=_PEERS,
        workers=workers,
        limits=_LIMITS,
        access_log={"path": str(folder / "access.log")},
    )
    gateway = Gateway(folder, config)
    return Target("dicomgate", port, gateway.child, gateway.stop)


def nginx(site: Site, folder: Path, upstream: Upstream, workers: int) -> Target:
    """nginx stream. Its own default ends at TLS 1.2: the protocols are those that Debian's nginx.conf sets for HTTP."""
    port = free_port()
    config = folder / "nginx.conf"
    tls_out = f"""
    proxy_ssl on;
    proxy_ssl_protocols TLSv1.2 TLSv1.3;
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate {site.path("ca.pem")};
    proxy_ssl_name {HOST};
    proxy_ssl_server_name on;"""
    config.write_text(f"""\
load_module {_STREAM_MODULE};
daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections {_CONNECTIONS}; }}
stream {{
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;
    ssl_certificate {site.path("gate.pem")};
    ssl_certificate_key {site.path("gate.key")};
    proxy_pass 127.0.0.1:{upstream.port};{tls_out if upstream.tls else ""}
  }}
}}
""")
    return _started("nginx", port, ["nginx", "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")])


def haproxy(site: Site, folder: Path, upstream: Upstream, workers: int) -> Target:
    """HAProxy in TCP mode; its workers are threads."""
    port = free_port()
    both = folder / "gate.both.pem"
    both.touch(0o600)
    both.write_bytes(site.path("gate.pem").read_bytes() + site.path("gate.key").read_bytes())
    config = folder / "haproxy.cfg"
    tls_out = f" ssl verify required ca-file {site.path('ca.pem')} sni str({HOST}) verifyhost {HOST}"
    config.write_text(f"""\
global
  nbthread {workers}
  maxconn {_CONNECTIONS}
defaults
  mode tcp
  timeout connect 5s
  timeout client 30m
  timeout server 30m
frontend dicom
  bind 127.0.0.1:{port} ssl crt {both}
  default_backend pacs
backend pacs
  server pacs 127.0.0.1:{upstream.port}{tls_out if upstream.tls else ""}
""")
    return _started("haproxy", port, ["haproxy", "-db", "-f", str(config)])


def stunnel(site: Site, folder: Path, upstream: Upstream, workers: int) -> Target:
    """stunnel: one process with a thread per connection; `workers` has no effect. It has TLS on one side only."""
    assert not upstream.tls
    port = free_port()
    config = folder / "stunnel.conf"
    config.write_text(f"""\
foreground = yes
syslog = no
output = {folder}/stunnel.log
pid =
[dicom]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{upstream.port}
cert = {site.path("gate.pem")}
key = {site.path("gate.key")}
""")
    return _started("stunnel", port, ["stunnel4", str(config)])


def _started(name: str, port: int, command: list[str]) -> Target:
    child = Child(command, env=clean_environment({"PATH": PATH}))
    wait_listening(child, port)
    return Target(name, port, child, child.end)


Start = Callable[[Site, Path, Upstream, int], Target]
_PROGRAMS: dict[Start, tuple[str, ...]] = {
    nginx: ("nginx", "-v"),
    haproxy: ("haproxy", "-v"),
    stunnel: ("stunnel4", "-version"),
}


def installed() -> dict[Start, str]:
    """The peers that this machine has, each with its version."""
    found = {}
    for start, command in _PROGRAMS.items():
        if shutil.which(command[0], path=PATH) is None or (start is nginx and not _STREAM_MODULE.exists()):
            continue
        said = subprocess.run(command, capture_output=True, text=True, env=clean_environment({"PATH": PATH}))
        match = re.search(r"\d+\.\d+[^ ,\n]*", said.stdout + said.stderr)
        found[start] = match.group() if match else "unknown"
    return found
