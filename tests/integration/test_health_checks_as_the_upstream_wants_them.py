"""Health checks go the way that associations go: TLS with our certificate, a PROXY header, the source address."""

import contextlib
import datetime
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proxy.pdu.proxy_header import ProxyHeader, ProxyHeaderReader
from tests.support import certs
from tests.support.archive import Archive
from tests.support.balancers import haproxy
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, Visit
from tests.support.pools import at, checks, echo_check, is_up, outcomes, pool, server_status, tcp_check, wait_told
from tests.support.ports import free_port
from tests.support.processes import until
from tests.support.site import HOST, Site

HEADERS = {"v1": b"PROXY UNKNOWN\r\n", "v2": b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"}
PAST = (certs.now() - 9 * certs.DAY, certs.now() - datetime.timedelta(hours=1))


class Told:
    """A PACS that reads a PROXY header first, and answers all else as an archive does."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, ProxyHeader]] = []
        self.dialled_from: list[str] = []
        self.ended: list[str] = []
        self._archive = Archive()

    def __call__(self, visit: Visit) -> None:
        reader, wire, header = ProxyHeaderReader(), b"", None
        while header is None:
            wire += visit.wire.socket.recv(1)  # not a byte of what follows
            header = reader.feed(wire[-1:])
        self.headers.append((wire, header))
        self.dialled_from.append(visit.wire.socket.getpeername()[0])
        if visit.wire.socket.recv(1, socket.MSG_PEEK):
            self._archive(visit)
        self.ended.append(visit.ended or "fin")


def test_a_server_that_wants_our_certificate_is_shown_it(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    """A server that gets no client certificate is down, with the alert in words."""
    context = site.server_context(client_ca=True)
    with Pacs(Archive(), tls=context) as pacs, Pacs(Archive(), tls=context) as other:
        tls = {"tls": site.upstream_tls(client="ct1")}
        config = pool(site, tmp_path, [at(pacs.port)], echo_check(), upstream=tls)
        upstream = {"servers": [at(other.port)], "health_check": echo_check(), "tls": site.upstream_tls()}
        config["upstreams"]["nameless"] = upstream
        gateway = start_gateway(config)
        until(lambda: checks(gateway, pacs.port) >= 3, "it is checked")
        assert outcomes(gateway, upstream="pacs") == {"ok"} and is_up(gateway, pacs.port)
        assert pacs.ended().ended == "release" and pacs.ended().wire.peer_closed_tls
        message = wait_told(gateway, "server_down", other.port)["message"]
        assert "wants a client certificate" in message or "CERTIFICATE_REQUIRED" in message, message


def test_who_is_not_the_server_that_was_meant_is_down(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    site.path("other-ca.pem").write_bytes(certs.ca("Other CA").pem)
    site.pair("expired", certs.leaf(HOST, site.root, eku=[certs.SERVER], dns=[HOST], valid=PAST))
    site.pair("other", certs.server("other.example.org", site.root))
    cases = {
        "stranger": ("gate", "other-ca.pem", "unable to get local issuer certificate"),
        "expired": ("expired", "ca.pem", "certificate has expired"),
        "other": ("other", "ca.pem", f"certificate is not valid for '{HOST}'"),
    }
    with contextlib.ExitStack() as stack:
        config = pool(site, tmp_path, [at(free_port())], None)
        ports = {}
        for name, (own, ca, _) in cases.items():
            port = ports[name] = stack.enter_context(Pacs(Archive(), tls=site.server_context(own))).port
            tls = {**site.upstream_tls(), "ca": str(site.path(ca))}
            config["upstreams"][name] = {"servers": [at(port)], "health_check": echo_check(), "tls": tls}
        gateway = start_gateway(config)
        for name, (_, _, words) in cases.items():
            told = wait_told(gateway, "server_down", ports[name])
            assert words in told["message"] and told["message"].endswith("(tls)")
            check = server_status(gateway, ports[name])["check"]
            assert (check["outcome"], check["failed_step"]) == ("server_certificate", "tls")
            assert not is_up(gateway, ports[name])


def test_a_check_is_nobodys_and_comes_from_the_source_address(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    """A check by TCP alone sends the header too, and nothing after it."""
    cases = {"v1": echo_check(), "v2": echo_check(), "tcp": tcp_check()}
    told = {name: Told() for name in cases}
    with contextlib.ExitStack() as stack:
        config = pool(site, tmp_path, [at(free_port())], None)
        for name, check in cases.items():
            server = at(stack.enter_context(Pacs(told[name])).port)
            version = name if name in HEADERS else "v2"
            upstream = {"send_proxy_protocol": version, "source_address": "127.8.0.1", "health_check": check}
            config["upstreams"][name] = {"servers": [server], **upstream}
        gateway = start_gateway(config)
        for name, archive in told.items():
            until(lambda name=name: checks(gateway, upstream=name) >= 3, "it is checked")
            assert outcomes(gateway, upstream=name) == {"ok"}
            until(lambda archive=archive: archive.ended, "one is over")
            assert set(archive.headers) == {(HEADERS.get(name, HEADERS["v2"]), ProxyHeader(None, None))}
            assert set(archive.dialled_from) == {"127.8.0.1"}
            assert archive.ended[0] == ("fin" if name == "tcp" else "release")


def test_the_header_comes_before_tls(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    """HAProxy removes the header, then terminates TLS and asks for our certificate."""
    pem = tmp_path / "haproxy.pem"
    pem.write_bytes(site.path("gate.pem").read_bytes() + site.path("gate.key").read_bytes())
    bind = f"accept-proxy ssl crt {pem} verify required ca-file {site.path('ca.pem')}"
    upstream: dict[str, Any] = {"send_proxy_protocol": "v2", "tls": site.upstream_tls(client="ct1")}
    with Pacs(Archive()) as pacs, haproxy(tmp_path, pacs.port, bind=bind) as port:
        gateway = start_gateway(pool(site, tmp_path, [at(port)], echo_check(), upstream=upstream))
        until(lambda: checks(gateway, result="ok") >= 2, "it is checked")
        assert outcomes(gateway) == {"ok"}
        assert pacs.ended().ended == "release"
