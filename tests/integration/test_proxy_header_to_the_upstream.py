"""The gateway sends the requestor's address to its upstream, and dials from the configured address."""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.pdu.proxy_header import Endpoint, ProxyHeader, ProxyHeaderReader, encode_proxy_header
from tests.support.balancers import haproxy
from tests.support.client import associate, client_context, connect, release
from tests.support.gateway import Gateway
from tests.support.pacs import Visit, pacs
from tests.support.pdus import encode_release_rp
from tests.support.processes import until
from tests.support.site import HOST, Site, port_of

CT1 = "127.9.0.7"
HEADERS = {"v1": b"PROXY TCP4 ", "v2": b"\r\n\r\n\x00\r\nQUIT\n"}


class Told:
    """A PACS that reads a PROXY header before the request. `wires`: the bytes; `headers`: what they say."""

    def __init__(self) -> None:
        self.wires: list[bytes] = []
        self.headers: list[ProxyHeader] = []
        self.dialled_from: list[str] = []

    def __call__(self, visit: Visit) -> None:
        reader, wire, header = ProxyHeaderReader(), b"", None
        while header is None:
            wire += visit.wire.socket.recv(1)  # not a byte of what follows
            header = reader.feed(wire[-1:])
        self.wires.append(wire)
        self.headers.append(header)
        self.dialled_from.append(visit.wire.socket.getpeername()[0])
        visit.accept()
        assert visit.wire.receive_pdu()[:1] == b"\5"
        visit.wire.send(encode_release_rp())


def configured(site: Site, port: int, upstream: dict[str, Any], **changes: Any) -> dict[str, Any]:
    config = site.one_tenant(port, **changes)
    config["upstreams"]["pacs"].update(upstream)
    return config


def visited(gateway: Gateway, site: Site, source: str = CT1) -> tuple[Endpoint, Endpoint]:
    """Make one association with the gateway; return the two ends of its connection."""
    wire = connect(port_of(gateway.config), client_context(site.path("ca.pem")), HOST, source=source)
    ends = wire.socket.getsockname(), wire.socket.getpeername()
    release(associate(wire))
    (source, source_port), (destination, port) = ends
    return (ipaddress.ip_address(source), source_port), (ipaddress.ip_address(destination), port)


@pytest.mark.parametrize("version", HEADERS)
def test_the_header_comes_first_and_names_both_ends(
    version: str, site: Site, start_gateway: Callable[..., Gateway]
) -> None:
    told = Told()
    with pacs(told) as upstream:
        gateway = start_gateway(configured(site, upstream.port, {"send_proxy_protocol": version}))
        ends = visited(gateway, site)
        upstream.ended()
    assert told.headers == [ProxyHeader(*ends)]
    assert told.wires[0].startswith(HEADERS[version])


@pytest.mark.parametrize("version", HEADERS)
def test_haproxy_accepts_it_and_sees_the_requestor(
    version: str, site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    """HAProxy passes the addresses of the header on to the PACS."""
    told = Told()
    with pacs(told) as upstream, haproxy(tmp_path, upstream.port, bind="accept-proxy", server="send-proxy-v2") as port:
        gateway = start_gateway(configured(site, port, {"send_proxy_protocol": version}))
        ends = visited(gateway, site)
        upstream.ended()
    assert told.headers == [ProxyHeader(*ends)]


@pytest.mark.parametrize("version", HEADERS)
def test_haproxy_takes_it_off_before_tls(
    version: str, site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    """The header goes first and in the clear; after it HAProxy asks for our certificate."""
    told, pem = Told(), tmp_path / "haproxy.pem"
    pem.write_bytes(site.path("gate.pem").read_bytes() + site.path("gate.key").read_bytes())
    bind = f"accept-proxy ssl crt {pem} verify required ca-file {site.path('ca.pem')}"
    with pacs(told) as upstream, haproxy(tmp_path, upstream.port, bind=bind, server="send-proxy-v2") as port:
        out = {"send_proxy_protocol": version, "tls": site.upstream_tls(client="ct1")}
        gateway = start_gateway(configured(site, port, out))
        ends = visited(gateway, site)
        upstream.ended()
    assert told.headers == [ProxyHeader(*ends)]
    assert gateway.wait_for_record()["upstream_tls"]["version"] == "TLSv1.3"


def test_a_header_of_a_load_balancer_is_handed_on(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    told = Told()
    ends = (ipaddress.ip_address("2001:db8::7"), 40000), (ipaddress.ip_address("2001:db8::1"), 2762)
    with pacs(told) as upstream:
        listener = {"proxy_protocol": {"trusted": ["127.0.0.1"]}}
        gateway = start_gateway(configured(site, upstream.port, {"send_proxy_protocol": "v2"}, listener=listener))
        wire = connect(port_of(gateway.config))
        wire.send_raw(encode_proxy_header(1, *ends))
        wire.start_tls(client_context(site.path("ca.pem")), HOST)
        release(associate(wire))
        upstream.ended()
    assert told.headers == [ProxyHeader(*ends)]


def test_the_upstream_is_dialled_from_the_source_address(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    told = Told()
    upstream_settings = {"send_proxy_protocol": "v1", "source_address": "127.8.0.1"}
    with pacs(told) as upstream:
        gateway = start_gateway(configured(site, upstream.port, upstream_settings))
        for _ in range(2):
            ends = visited(gateway, site)
            upstream.ended(len(told.headers) - 1)
    assert told.dialled_from == ["127.8.0.1"] * 2
    assert told.headers[-1] == ProxyHeader(*ends)


def test_a_source_address_that_is_not_here_is_told_in_words(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    """At start, and in the record of the association that is refused for it."""
    with pacs() as upstream:
        gateway = start_gateway(configured(site, upstream.port, {"source_address": "192.0.2.1"}))
        warned = "upstreams.pacs.source_address: this machine cannot dial from 192.0.2.1: Cannot assign requested"
        until(lambda: warned in gateway.child.text, "it is said")
        wire = connect(port_of(gateway.config), client_context(site.path("ca.pem")), HOST)
        with pytest.raises(AssertionError):
            associate(wire)
        wire.close()
        record = gateway.wait_for_record()
        assert record["reason"] == "upstream_unavailable"
        assert "source_address 192.0.2.1: Cannot assign requested address" in record["detail"]
        assert upstream.dials == 0
