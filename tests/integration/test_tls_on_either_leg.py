"""Every combination of plain DICOM, TLS 1.2 and TLS 1.3 on the two legs, and what a reload means for an open one."""

import hashlib
import os
import signal
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from proxy.pdu import PduType
from tests.support import certs
from tests.support.client import associate, client_context, connect, echo, p_data, release, request
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, Visit, mirror
from tests.support.processes import until
from tests.support.site import Site, port_of

VERSIONS = {"plain": None, "TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
SIZE = 300_000  # more than one read takes, and no multiple of anything
WARM_UP, ASSOCIATIONS = 1500, 2000
MAX_GROWTH_KIB = 1024  # 10 KiB of each, as a listener's context would keep, are twenty times as much


def server_context(site: Site, version: str) -> ssl.SSLContext | None:
    only = VERSIONS[version]
    if only is None:
        return None
    context = site.server_context(client_ca=True)
    context.minimum_version = context.maximum_version = only
    return context


def config(site: Site, port: int, *, tls_in: bool = True, tls_out: bool = True, **changes: Any) -> dict[str, Any]:
    upstream = site.upstream(port, client="ct1") if tls_out else port
    written = site.one_tenant(upstream, **changes)
    if not tls_in:
        listener = written["listeners"]["dicom-tls"]
        del listener["tls"]
        listener["tenants"] = ["hospital"]
    return written


@pytest.mark.parametrize("out", VERSIONS)
@pytest.mark.parametrize("inside", VERSIONS)
def test_bytes_and_ends_are_the_same(inside: str, out: str, site: Site, start_gateway: Callable[..., Gateway]) -> None:
    context = None
    if VERSIONS[inside] is not None:
        context = client_context(site.path("ca.pem"))
        context.minimum_version = context.maximum_version = VERSIONS[inside]
    data = os.urandom(SIZE)
    with Pacs(mirror, tls=server_context(site, out)) as pacs:
        gateway = start_gateway(config(site, pacs.port, tls_in=context is not None, tls_out=out != "plain"))
        with connect(port_of(gateway.config), context) as wire:
            associate(wire)
            message = p_data(data)
            wire.send(message)
            assert hashlib.sha256(wire.receive_exactly(len(message))).digest() == hashlib.sha256(message).digest()
            release(wire)
        visit = pacs.ended()
        assert visit.ended == "release"
        assert visit.wire.peer_closed_tls == (out != "plain")
        record = gateway.wait_for_record()
    assert record["ended"] == "released"
    assert record.get("upstream_tls", {}).get("version", "plain") == out
    assert record.get("tls", {}).get("version", "plain") == inside


def reload(gateway: Gateway, changed: Callable[[str], str]) -> dict[str, Any]:
    """Rewrite the configuration and reload; return the event with the outcome."""
    since = gateway.mark()
    gateway.path.write_text(changed(gateway.path.read_text()))
    gateway.child.process.send_signal(signal.SIGHUP)
    names = ("reloaded", "reload_failed")
    until(lambda: any(line["event"] in names for line in gateway.lines[since:]), "the reload is over")
    return next(line for line in gateway.lines[since:] if line["event"] in names)


def test_an_open_association_outlives_new_tls_settings(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    """The open connection stays although a new one would need more; the next request meets the new settings."""
    held: list[Visit] = []

    def hold(visit: Visit) -> None:
        held.append(visit)
        mirror(visit)

    with Pacs(hold, tls=server_context(site, "TLSv1.3")) as pacs:
        gateway = start_gateway(config(site, pacs.port))
        context = client_context(site.path("ca.pem"))
        with connect(port_of(gateway.config), context) as wire:
            associate(wire)
            line = reload(gateway, lambda text: text.replace("server_name: gate.example.org", "server_name: other.org"))
            assert line["event"] == "reloaded", line
            echo(wire)
            with connect(port_of(gateway.config), context) as late:
                late.send(request())
                assert late.receive_pdu()[:1] == bytes([PduType.A_ASSOCIATE_RJ])
            echo(wire)
            release(wire)
        reason = gateway.wait_for_record(lambda record: record["decision"] == "refused")
        assert reason["reason"] == "upstream_tls_failed" and "not valid for 'other.org'" in reason["detail"]
        assert gateway.wait_for_record(lambda record: record["decision"] == "accepted")["ended"] == "released"


def test_a_new_certificate_that_does_not_fit_changes_nothing(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    with Pacs(mirror, tls=server_context(site, "TLSv1.3")) as pacs:
        gateway = start_gateway(config(site, pacs.port))
        site.path("ct1.pem").write_bytes(certs.leaf("other", site.root).pem)
        line = reload(gateway, lambda text: text)
        assert line["event"] == "reload_failed" and "does not belong to the key" in str(line)
        with connect(port_of(gateway.config), client_context(site.path("ca.pem"))) as wire:
            associate(wire)
            echo(wire)
            release(wire)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_contexts_keep_nothing_of_the_connections(
    version: str, site: Site, start_gateway: Callable[..., Gateway]
) -> None:
    """A client's context caches no session: unlike a listener's, it lives as long as the configuration."""
    with Pacs(mirror, tls=server_context(site, version)) as pacs:
        limits = {"connections_per_address": 100, "handshakes_per_address": 100}
        gateway = start_gateway(config(site, pacs.port, tls_in=False, limits=limits))

        def some(count: int) -> int:
            for _ in range(count):
                with connect(port_of(gateway.config), None) as wire:
                    associate(wire)
                    release(wire)
            until(lambda: gateway.metric("connections_active") == 0, "all connections are closed")
            return gateway.rss_kib()

        before = some(WARM_UP)
        growth = some(ASSOCIATIONS) - before
    assert growth <= MAX_GROWTH_KIB, f"RSS grew by {growth} KiB over {ASSOCIATIONS} associations"
