"""HAProxy and nginx in front, with PROXY headers: policy, log, metrics and limits know the sender, not them."""

import copy
import ipaddress
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.__main__ import main
from proxy.dimse.command import C_ECHO, RESPONSE
from proxy.dimse.echo import VERIFICATION_SOP_CLASS
from proxy.pdu import PduType, encode_p_data
from proxy.pdu.proxy_header import encode_proxy_header
from tests.support import dcmtk
from tests.support.balancers import haproxy, nginx
from tests.support.client import associate, client_context, connect, echo, release, request
from tests.support.gateway import Gateway
from tests.support.messages import COMMAND, LAST, command
from tests.support.pacs import Pacs, Visit, mirror, pacs
from tests.support.processes import until
from tests.support.site import HOST, Site, port_of
from tests.support.steering import reloaded
from tests.support.wire import END, Wire

Balancer = Callable[[Path, int], AbstractContextManager[int]]
BALANCERS: dict[str, Balancer] = {
    "haproxy-v1": partial(haproxy, server="send-proxy"),
    "haproxy-v2": partial(haproxy, server="send-proxy-v2"),
    "haproxy-v2-crc32c": partial(haproxy, server="send-proxy-v2 proxy-v2-options crc32c,unique-id"),
    "nginx": nginx,
}
CT1, CT2 = "127.9.0.7", "127.9.0.8"


@pytest.fixture
def upstream() -> Any:
    with pacs(mirror) as server:
        yield server


def answer_echo(visit: Visit) -> None:
    """Accept, and answer each C-ECHO."""
    answer = encode_p_data(1, COMMAND | LAST, command(C_ECHO | RESPONSE, sop_class=VERIFICATION_SOP_CLASS))
    visit.accept()
    visit.until_end(lambda _: visit.wire.send(answer))


def behind(site: Site, upstream: Pacs, **changes: Any) -> dict[str, Any]:
    """A gateway that only a load balancer on 127.0.0.1 reaches, itself not one of the senders; CT1 has an address."""
    listener = {"networks": ["127.9.0.0/24"], "proxy_protocol": {"version": "any", "trusted": ["127.0.0.1"]}}
    peers = [{"aet": "CT1", "from": [CT1], "allow": ["all"]}]
    return site.one_tenant(upstream.port, **{"listener": listener, "peers": peers, **changes})


def secured(port: int, site: Site, source: str = CT1) -> Wire:
    return connect(port, client_context(site.path("ca.pem")), HOST, source=source)


def with_header(port: int, site: Site, socket_address: str, header_address: str) -> Wire:
    """A connection from one address whose PROXY header names another."""
    wire = connect(port, source=socket_address)
    ends = (ipaddress.ip_address(header_address), 40000), (ipaddress.ip_address("127.0.0.1"), 2762)
    try:
        wire.send_raw(encode_proxy_header(2, *ends))
        wire.start_tls(client_context(site.path("ca.pem")), HOST)
    except BaseException:
        wire.close()
        raise
    return wire


@pytest.mark.parametrize("name", BALANCERS)
def test_the_policy_sees_the_senders_address(
    name: str, site: Site, tmp_path: Path, upstream: Pacs, start_gateway: Callable[..., Gateway]
) -> None:
    gateway = start_gateway(behind(site, upstream))
    with BALANCERS[name](tmp_path, port_of(gateway.config)) as port:
        wire = secured(port, site)
        own_port = wire.socket.getsockname()[1]
        release(associate(wire))
        record = gateway.wait_for_record()
        assert record["client"] == {"ip": CT1, "port": own_port, "via": "proxy_header", "proxy": "127.0.0.1"}
        assert record["decision"] == "accepted"
        with secured(port, site, CT2) as other:
            other.send(request())
            assert other.receive_pdu()[7:10] == bytes((1, 1, 3))
        record = gateway.wait_for_record(lambda r: r["client"]["ip"] == CT2)
        assert record["reason"] == "source_not_allowed"
        with connect(port, source="127.0.0.1") as outside:
            assert outside.receive_all() == b""
        assert gateway.wait_for_record(lambda r: r["client"]["ip"] == "127.0.0.1")["reason"] == "address_denied"
    assert gateway.metric("proxy_protocol_headers_total", result="ok") == 3


def test_the_same_header_from_an_untrusted_address_is_refused(
    site: Site, upstream: Pacs, start_gateway: Callable[..., Gateway]
) -> None:
    gateway = start_gateway(behind(site, upstream))
    port = port_of(gateway.config)
    release(associate(with_header(port, site, "127.0.0.1", CT1)))
    with pytest.raises(ConnectionError, match="closed during the TLS handshake"):
        with_header(port, site, CT1, CT1)
    record = gateway.wait_for_record(lambda r: r["decision"] == "refused")
    assert record["reason"] == "proxy_header_untrusted"
    assert record["client"]["ip"] == CT1 and record["client"]["via"] == "socket"
    assert gateway.metric("proxy_protocol_headers_total", result="untrusted") == 1
    assert upstream.dials == 1


@pytest.mark.parametrize("server", ["send-proxy", "send-proxy-v2"])
def test_health_checks_of_the_balancer_are_no_failures(
    server: str, site: Site, tmp_path: Path, upstream: Pacs, start_gateway: Callable[..., Gateway]
) -> None:
    """HAProxy connects from its own address, sends LOCAL (in version 1 the addresses of its own socket), and closes."""
    gateway = start_gateway(behind(site, upstream))
    options = f"{server} check inter 20ms fall 1"
    with haproxy(tmp_path, port_of(gateway.config), server=options) as port:
        probes = partial(gateway.metric, "connections_rejected_total", reason="probe_disconnect")
        until(lambda: probes() > 20, "health checks come")
        release(associate(secured(port, site)))  # which HAProxy would not forward to a server that is down
    assert gateway.wait_for_record()["client"]["ip"] == CT1
    until(lambda: gateway.metric("connections_active") == 0, "the last check is over")
    rejected = gateway.metric("connections_rejected_total")
    assert rejected == gateway.metric("connections_rejected_total", reason="probe_disconnect")
    assert [record["client"]["ip"] for record in gateway.records] == [CT1]


def test_limits_count_the_sender_and_never_the_balancer(
    site: Site, tmp_path: Path, upstream: Pacs, start_gateway: Callable[..., Gateway]
) -> None:
    limits = {"handshakes_per_address": 3, "connections_per_address": 4}
    gateway = start_gateway(behind(site, upstream, limits=limits))
    with ExitStack() as stack:
        port = stack.enter_context(haproxy(tmp_path, port_of(gateway.config), server="send-proxy-v2"))
        sources = [f"127.9.0.{number}" for number in range(20, 28)]
        for source in sources:
            for _ in range(3):
                stack.enter_context(secured(port, site, source))
        assert gateway.metric("connections_active") == 3 * len(sources)
        with connect(port, source=sources[0]) as one_more:
            assert one_more.receive_all() == b""
        record = gateway.wait_for_record()
        assert record["reason"] == "address_limit" and record["client"]["ip"] == sources[0]
        until(lambda: gateway.metric("connections_active") == 3 * len(sources), "it is closed at once", 1)
        release(associate(secured(port, site)))
    until(lambda: gateway.metric("connections_active") == 0, "all is given back")
    for _ in range(5):
        with secured_behind(gateway, site, sources[0]):
            pass


def secured_behind(gateway: Gateway, site: Site, source: str) -> Wire:
    return with_header(port_of(gateway.config), site, "127.0.0.1", source)


def test_a_reload_keeps_the_senders_address(
    site: Site, tmp_path: Path, upstream: Pacs, start_gateway: Callable[..., Gateway]
) -> None:
    """An open association is decided again from CT1's address, as at first."""
    gateway = start_gateway(behind(site, upstream, control=str(tmp_path / "control.sock")))
    config = copy.deepcopy(gateway.config)
    wire = associate(secured_behind(gateway, site, CT1))
    config["tenants"]["hospital"]["peers"][0]["comment"] = "the same rule"
    reloaded(gateway, config)
    echo(wire)
    config["tenants"]["hospital"]["peers"][0]["from"] = [CT2, "127.0.0.1"]
    reloaded(gateway, config)
    assert wire.receive_pdu()[:1] == bytes([PduType.A_ABORT]) and wire.receive_pdu() == END
    wire.close()
    assert gateway.wait_for_record()["ended"] == "policy_changed"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_echo_asks_as_a_load_balancer_would(version: str, site: Site, start_gateway: Callable[..., Gateway]) -> None:
    """LOCAL, or UNKNOWN: for the gateway the sender is the machine that it runs on."""
    with pacs(answer_echo) as upstream:
        listener = {"proxy_protocol": {"version": version, "trusted": ["127.0.0.1"]}}
        gateway = start_gateway(site.one_tenant(upstream.port, listener=listener))
        target = f"127.0.0.1:{port_of(gateway.config)}"
        tls = ("--tls", "--sni", HOST, "--ca", str(site.path("ca.pem")))
        assert main(["echo", target, *tls, "--called", "MAINPACS"]) == 1
        assert gateway.wait_for_record()["reason"] == "proxy_header_missing"
        assert main(["echo", target, *tls, "--called", "MAINPACS", "--proxy-header", version]) == 0
    client = gateway.wait_for_record(lambda record: record["decision"] == "accepted")["client"]
    assert (client["ip"], client["via"], "proxy" in client) == ("127.0.0.1", "socket", False)


@pytest.mark.peers
def test_real_senders_through_haproxy(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    with dcmtk.storescp(tmp_path / "stored") as pacs:
        listener = {"proxy_protocol": {"version": "v2", "trusted": ["127.0.0.0/8"]}}
        gateway = start_gateway(site.one_tenant(pacs.port, listener=listener))
        with haproxy(tmp_path, port_of(gateway.config), server="send-proxy-v2") as port:
            began = time.monotonic()
            said = dcmtk.echoscu(port, dcmtk.tls(ca=site.path("ca.pem")))
            assert said.code == 0, said.text
            assert time.monotonic() - began < 5
    assert gateway.wait_for_record()["client"]["via"] == "proxy_header"
