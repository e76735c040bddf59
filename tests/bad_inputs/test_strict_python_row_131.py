"""Row 131: a Python that is strict finds nothing to say."""

import re
from pathlib import Path

import pytest

from proxy.pdu import encode_abort
from tests.support.archive import Archive, expect_success, instance
from tests.support.attempts import echo_once
from tests.support.client import associate, client_context, connect, echo, p_data, release, request
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.steering import ask, kill, reload, reloaded, wait_serving, workers

#: Warnings of asyncio's debug mode that say how busy the machine is.
SLOW = re.compile(r"Executing <.*> took [0-9.]+ seconds")


@pytest.mark.slow
def test_row_131_strict_python(site: Site, tmp_path: Path) -> None:
    """Development mode, warnings as errors and asyncio's debug mode: standard error stays empty.

    All other tests of whole gateways run with warnings as errors, and look for tracebacks there.
    """
    launcher = ("env", "PYTHONDEVMODE=1", "PYTHONWARNINGS=error", "PYTHONASYNCIODEBUG=1")
    archive = Archive()
    with Pacs(archive) as pacs:
        config = site.one_tenant(pacs.port, workers=2, control=str(tmp_path / "control.sock"))
        gateway = Gateway(tmp_path / "gateway", config, launcher=launcher)
        try:
            said = len(gateway.child.errors)  # the findings of the configuration
            mixed_load(gateway, archive)
            reload_and_kill(gateway)
            mixed_load(gateway, archive)
            until(lambda: gateway.metric("connections_active") == 0, "all is closed")
        finally:
            code = gateway.child.end()
        assert code == 0
        heard = [line for line in gateway.child.errors[said:] if not SLOW.search(line)]
        assert not heard, heard
        assert not [event for event in gateway.events if event["event"] == "internal"]


def reload_and_kill(gateway: Gateway) -> None:
    """Workers that come and go, with associations in every stage."""
    port, context = port_of(gateway.config), client_context()
    with connect(port) as fresh, associate(connect(port, context)) as open:
        reloaded(gateway)
        echo(open)
        fresh.start_tls(context)
        release(associate(fresh))
        release(open)
    with associate(connect(port, context)):
        kill(workers(gateway)[0])
        wait_serving(gateway, 2)
    assert not reload(gateway, {"version": 2})["ok"]


def mixed_load(gateway: Gateway, archive: Archive) -> None:
    """All actions of a requestor, and all ends of its association."""
    port, context = port_of(gateway.config), client_context()
    for _ in range(10):
        echo_once(port, context)
        with associate(connect(port, context)) as wire:
            one = instance()
            wire.send(b"".join(one.pdus()))
            expect_success(wire)
            release(wire)
        archive.check([one])
        with associate(connect(port, context)) as wire:
            wire.send(p_data(b"cut"))
            wire.reset()
        with associate(connect(port, context)) as wire:
            wire.send(encode_abort(0, 0))
        with connect(port, context) as wire:
            wire.send(request(called="NOBODY"))
            wire.receive_all()
        with connect(port) as wire:
            wire.send_raw(b"GET / HTTP/1.1\r\n\r\n")
            wire.receive_all()
        connect(port).close()
    gateway.get("/metrics")
    ask(gateway, "status")
