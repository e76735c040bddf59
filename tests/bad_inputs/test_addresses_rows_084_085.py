"""Rows 84 and 85: one address in several spellings, and ranges that are none."""

import socket
import sys
from pathlib import Path

import pytest

from proxy.cli.__main__ import main
from tests.support.client import associate, client_context, connect, release, request
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs
from tests.support.ports import free_port
from tests.support.site import HOST, Site
from tests.support.steering import write_to

#: A socket for IPv4 and IPv6 at once, handed over as systemd does where BindIPv6Only is not set.
DUAL_STACK = """
import os, socket, sys
sock = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
os.dup2(os.dup(sock.fileno()), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""
FINE, WARNING, ERROR = "fine", "warning", "error"
REJECTED = bytes((3, 0, 0, 0, 0, 4, 0, 1, 1, 3))


@pytest.mark.parametrize("allowed", ["127.0.0.5", "::ffff:127.0.0.5", "0:0:0:0:0:ffff:7f00:5", "127.0.0.4/31"])
def test_row_084_ipv4_at_a_listener_for_both(allowed: str, site: Site, tmp_path: Path) -> None:
    """The kernel shows ::ffff:127.0.0.5: the verdict is the same for each spelling of the entry."""
    with Pacs() as pacs:
        port = free_port()
        config = site.one_tenant(pacs.port, port=port, peers=[{"aet": "*", "from": [allowed], "allow": ["all"]}])
        config["listeners"]["dicom-tls"]["bind"] = [f"[::]:{port}"]
        gateway = Gateway(tmp_path / "gateway", config, launcher=(sys.executable, "-c", DUAL_STACK, str(port)))
        try:
            release(associate(connect(port, client_context(), source="127.0.0.5")))
            record = gateway.wait_for_record()
            assert (record["decision"], record["client"]["ip"]) == ("accepted", "127.0.0.5")
            for stranger in ("127.0.0.6", "::1"):
                mark = gateway.mark()
                answer = refused(port, stranger)
                assert answer == REJECTED
                record = gateway.wait_for_record(since=mark)
                assert (record["reason"], record["client"]["ip"]) == ("source_not_allowed", stranger)
            assert pacs.dials == 1
        finally:
            gateway.stop()


def refused(port: int, source: str) -> bytes:
    """The answer to a request from an address, IPv4 or IPv6."""
    if source != "::1":
        with connect(port, client_context(), source=source) as wire:
            wire.send(request())
            return wire.receive_pdu()
    with socket.create_connection((source, port), timeout=20) as sock:
        context = client_context()
        with context.wrap_socket(sock, server_hostname=HOST) as tls:
            tls.sendall(request())
            return tls.recv(100)


@pytest.mark.parametrize(
    ("entry", "verdict"),
    [
        ("010.0.0.1", ERROR),
        ("10.0.0.1/33", ERROR),
        ("10.0.0.1/8", ERROR),
        ("10.0.0.0/255.0.0.0", ERROR),
        ("", ERROR),
        ("10.0.0", ERROR),
        ("10.0.0.256", ERROR),
        ("fe80::1%eth0", ERROR),
        ("::/129", ERROR),
        ("10.0.0.1-10.0.0.9", ERROR),
        ("10.20.0.0/16", FINE),
        ("10.20.0.1", FINE),
        ("0.0.0.0/0", WARNING),
        ("::/0", WARNING),
        ("::ffff:0:0/96", WARNING),
    ],
)
@pytest.mark.parametrize("where", ["listener", "tenant", "peer"])
def test_row_085_ranges(
    entry: str, verdict: str, where: str, site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error for an entry that is no network; a warning for one that contains all addresses."""
    config = site.one_tenant(4242, peers=[{"aet": "CT1", "allow": ["all"]}])
    block, key = {
        "listener": (config["listeners"]["dicom-tls"], "networks"),
        "tenant": (config["tenants"]["hospital"], "networks"),
        "peer": (config["tenants"]["hospital"]["peers"][0], "from"),
    }[where]
    block[key] = [entry]
    path = tmp_path / "config.yaml"
    write_to(path, config)
    assert main(["check", "--config", str(path)]) == (2 if verdict == ERROR else 0)
    said = capsys.readouterr().out
    found = f"{key}.0: " in said
    assert found == (verdict != FINE), said
