"""Rows 126, 128 and 132: reloads with errors, addresses that cannot be had, and a library that is missing."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import certs
from tests.support.archive import Archive
from tests.support.attempts import echo_once
from tests.support.client import associate, client_context, connect, echo, release
from tests.support.configs import write_key
from tests.support.gateway import REPOSITORY, Gateway, Record
from tests.support.pacs import Pacs
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, clean_environment, until
from tests.support.site import HOST, Site, port_of
from tests.support.steering import reload, reloaded, write, write_to


@pytest.fixture
def gateway(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> Iterator[Gateway]:
    with Pacs(Archive()) as pacs:
        auth = {"mode": "optional", "ca": str(site.path("ca.pem"))}
        control = str(tmp_path / "control.sock")
        yield start_gateway(site.one_tenant(pacs.port, workers=1, control=control, tls={"client_auth": auth}))


def syntax(gateway: Gateway, site: Site) -> None:
    gateway.path.write_text("version: 1\nlisteners: {dicom-tls: [")


def half_written(gateway: Gateway, site: Site) -> None:
    text = gateway.path.read_text()
    gateway.path.write_text(text[: len(text) // 2])


def empty_file(gateway: Gateway, site: Site) -> None:
    gateway.path.write_text("")


def no_file(gateway: Gateway, site: Site) -> None:
    gateway.path.unlink()


def symlink_loop(gateway: Gateway, site: Site) -> None:
    gateway.path.unlink()
    gateway.path.symlink_to(gateway.path.name)


def missing_key(gateway: Gateway, site: Site) -> None:
    site.path("gate.key").unlink()


def another_key(gateway: Gateway, site: Site) -> None:
    write_key(site.path("gate.key"), certs.server(HOST, site.root, slot="another").key_pem)


def encrypted_key(gateway: Gateway, site: Site) -> None:
    issued = certs.server(HOST, site.root)
    write_key(site.path("gate.key"), issued.encrypted_key_pem(b"secret"))


def world_readable_key(gateway: Gateway, site: Site) -> None:
    site.path("gate.key").chmod(0o644)


def half_a_key(gateway: Gateway, site: Site) -> None:
    key = site.path("gate.key").read_bytes()
    write_key(site.path("gate.key"), key[: len(key) // 2])


def looping_chain(gateway: Gateway, site: Site) -> None:
    site.path("gate.pem").unlink()
    site.path("gate.pem").symlink_to("gate.pem")


def empty_ca(gateway: Gateway, site: Site) -> None:
    site.path("ca.pem").write_bytes(b"")


def ca_in_der(gateway: Gateway, site: Site) -> None:
    site.path("ca.pem").write_bytes(site.root.der)


def half_a_ca(gateway: Gateway, site: Site) -> None:
    site.path("ca.pem").write_bytes(site.root.pem[:-100])


FAULTS = {
    syntax: "config.yaml",
    half_written: "config.yaml",
    empty_file: "config.yaml",
    no_file: "config.yaml",
    symlink_loop: "config.yaml",
    missing_key: "gate.key",
    another_key: "key",
    encrypted_key: "gate.key",
    world_readable_key: "gate.key",
    half_a_key: "gate.key",
    looping_chain: "gate.pem",
    empty_ca: "ca.pem",
    ca_in_der: "ca.pem",
    half_a_ca: "ca.pem",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_row_126_reload_with_an_error(gateway: Gateway, site: Site, fault: Callable[[Gateway, Site], None]) -> None:
    """The fault is named, counted, and without effect: open and new associations are served as before."""
    context = client_context()
    wire = associate(connect(port_of(gateway.config), context))
    fault(gateway, site)
    answer = reload(gateway)
    assert not answer["ok"] and FAULTS[fault] in answer["message"], answer
    assert gateway.wait_for_event("reload_failed")["message"] == answer["message"]
    assert gateway.metric("config_last_reload_successful") == 0
    assert gateway.metric("config_reloads_total", result="failed") == 1
    echo_once(port_of(gateway.config), context)
    echo(wire)
    release(wire)


def test_row_126_the_command_says_no(gateway: Gateway, site: Site) -> None:
    """Exit code 0 for a reload that worked, another one with the error for one that did not."""
    assert command(gateway).returncode == 0
    empty_ca(gateway, site)
    result = command(gateway)
    assert result.returncode != 0 and "ca.pem" in result.stdout + result.stderr


def command(gateway: Gateway) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "proxy.cli", "reload", "--config", gateway.path]
    environment = clean_environment({"PYTHONPATH": str(REPOSITORY)})
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=2 * PATIENCE)


def start(folder: Path, config: Record, *launcher: str) -> "subprocess.CompletedProcess[str]":
    """A start that must fail."""
    path = folder / "config.yaml"
    write_to(path, config)
    line = [*launcher, sys.executable, "-m", "proxy.cli", "run", "--config", path]
    environment = clean_environment({"PYTHONPATH": str(REPOSITORY)})
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=2 * PATIENCE)


def check_refused(result: "subprocess.CompletedProcess[str]", *texts: str) -> None:
    """Not 0; one clear error that names the address, and no traceback."""
    said = result.stdout + result.stderr
    assert result.returncode == 2 and "Traceback" not in said, said
    assert all(text in said for text in texts), said


def test_row_128_port_in_use(site: Site, tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        result = start(tmp_path, site.one_tenant(1, port=port))
    check_refused(result, f"127.0.0.1:{port}", "in use")


def test_row_128_admin_port_in_use(site: Site, tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        result = start(tmp_path, site.one_tenant(1, admin=port))
    check_refused(result, f"admin.listen: 127.0.0.1:{port}", "another process listens there")
    assert "stopped" not in result.stdout + result.stderr  # it never served


@pytest.mark.parametrize("bind", ["203.0.113.7:{}", "[2001:db8::7]:{}"])
def test_row_128_vanished_address(site: Site, tmp_path: Path, bind: str) -> None:
    """Of IPv4, and of IPv6, whether the machine has that at all or not."""
    bind = bind.format(free_port())
    config = site.one_tenant(1, listener={"bind": [bind]})
    check_refused(start(tmp_path, config), "dicom-tls", bind.rpartition(":")[0].strip("[]"))


def test_row_128_privilege_dropped(site: Site, tmp_path: Path) -> None:
    """A port below 1024 without the capability for it: the error names the missing one."""
    if os.getuid() or int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) < 1024:
        pytest.skip("needs root, and ports that need a capability")
    launcher = ("setpriv", "--bounding-set", "-net_bind_service", "--inh-caps", "-net_bind_service")
    check_refused(start(tmp_path, site.one_tenant(1, port=104), *launcher), ":104", "CAP_NET_BIND_SERVICE")


def test_row_128_reload_to_an_address_in_use(gateway: Gateway) -> None:
    """The reload is refused as a whole; the same without the bad address works, on its new address too."""
    port, bad = free_port(), free_port()
    config = {**gateway.config}
    bind = config["listeners"]["dicom-tls"]["bind"]
    with socket.create_server(("127.0.0.1", bad)):
        config["listeners"]["dicom-tls"]["bind"] = [*bind, f"127.0.0.1:{port}", f"127.0.0.1:{bad}"]
        answer = reload(gateway, config)
        assert not answer["ok"] and f"127.0.0.1:{bad}" in answer["message"]
        with socket.create_server(("127.0.0.1", port)):
            pass  # it was released again
    config["listeners"]["dicom-tls"]["bind"] = [*bind, f"127.0.0.1:{port}"]
    write(gateway, config)
    reloaded(gateway)
    echo_once(port, client_context())


def test_row_132_uvloop_is_missing(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    """The gateway runs on asyncio's own loop, and logs it."""
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "uvloop.py").write_text("raise ImportError('no uvloop here')\n")
    with Pacs(Archive()) as pacs:
        config = site.one_tenant(pacs.port, workers=2)
        gateway = start_gateway(config, launcher=("env", f"PYTHONPATH={folder}:{REPOSITORY}"))
        until(lambda: "uvloop is not installed" in gateway.child.text, "it is said")
        for _ in range(5):
            echo_once(port_of(config), client_context())
