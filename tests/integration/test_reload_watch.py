"""Certificates that are renewed under a running gateway are served without a request to reload.

Row 127 of docs/robustness.md.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import certs
from tests.support.archive import Archive
from tests.support.client import client_context, connect
from tests.support.configs import write_key
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs
from tests.support.ports import free_port
from tests.support.processes import until
from tests.support.site import HOST, Site, port_of
from tests.support.steering import write, write_to

OFTEN = "200ms"


def served(port: int) -> str:
    """The SHA-256 of the certificate that a client is shown."""
    with connect(port, client_context()) as wire:
        assert wire.tls is not None
        shown = wire.tls.getpeercert(binary_form=True)
        assert shown is not None
        return hashlib.sha256(shown).hexdigest()


def wait_served(gateway: Gateway, issued: certs.Issued) -> None:
    until(lambda: served(port_of(gateway.config)) == issued.sha256, "the new certificate is served")


def watching(site: Site, upstream: int, watch: str = "certificates", **tls: Any) -> dict[str, Any]:
    """A configuration that looks for changes often."""
    return site.one_tenant(upstream, workers=1, tls=tls, reload={"watch": watch, "interval": OFTEN})


def renewed(site: Site, slot: str) -> certs.Issued:
    """Another certificate for the gateway, with a key of its own."""
    return certs.server(HOST, site.root, slot=slot)


def test_chain_and_key_a_moment_apart(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    """In between, certificate and key do not match: the last good pair is served, and the failure logged."""
    with Pacs(Archive()) as pacs:
        gateway = start_gateway(watching(site, pacs.port))
        before = served(port_of(gateway.config))
        issued = renewed(site, "2")
        site.path("gate.pem").write_bytes(issued.chain_pem)
        gateway.wait_for_event("reload_failed")
        assert served(port_of(gateway.config)) == before
        assert gateway.metric("config_last_reload_successful") == 0
        write_key(site.path("gate.key"), issued.key_pem)
        wait_served(gateway, issued)
        # The new workers serve before all of the reload is done.
        until(lambda: gateway.metric("config_last_reload_successful") == 1, "the reload is over")
        assert gateway.metric("config_reloads_total", trigger="watch") >= 2


def test_a_swapped_data_link(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    """As Kubernetes updates a secret: no file that the configuration names is written, one link is renamed."""
    mount = tmp_path / "secret"

    def version(name: str, issued: certs.Issued) -> None:
        folder = mount / f"..{name}"
        folder.mkdir(parents=True)
        (folder / "tls.crt").write_bytes(issued.chain_pem)
        write_key(folder / "tls.key", issued.key_pem)
        fresh = mount / "..data_tmp"
        fresh.symlink_to(folder.name)
        fresh.rename(mount / "..data")

    first, second, third = (renewed(site, slot) for slot in "123")
    version("1", first)
    for name in ("tls.crt", "tls.key"):
        (mount / name).symlink_to(f"..data/{name}")
    with Pacs(Archive()) as pacs:
        gateway = start_gateway(watching(site, pacs.port, certificates=[{"dir": str(mount)}]))
        assert served(port_of(gateway.config)) == first.sha256
        version("2", second)
        wait_served(gateway, second)
        version("3", third)
        wait_served(gateway, third)
        assert not [event for event in gateway.events if event["event"] == "reload_failed"]


def test_the_configuration_itself(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    """With `watch: all` a change of the file is enough; a broken file changes nothing, the next good one does."""
    with Pacs(Archive()) as pacs:
        config = watching(site, pacs.port, "all")
        gateway = start_gateway(config)
        gateway.path.write_text("version: 1\nlisteners: {")
        gateway.wait_for_event("reload_failed")
        port = free_port()
        config["listeners"]["dicom-tls"]["bind"].append(f"127.0.0.2:{port}")
        write(gateway, config)
        gateway.wait_for_event("reloaded")
        served(port_of(config))


def test_a_file_that_is_included_from_now_on(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    """With `watch: all` a tenant appears and disappears with its file."""
    folder = tmp_path / "tenants.d"
    folder.mkdir()
    with Pacs(Archive()) as pacs:
        config = watching(site, pacs.port, "all")
        tenant = next(iter(config["tenants"].values()))
        write_to(folder / "first.yaml", {"tenants": {"first": {**tenant, "server_names": ["first.example.org"]}}})
        gateway = start_gateway({**config, "include": [str(folder / "*.yaml")]})
        mark = gateway.mark()
        write_to(folder / "second.yaml", {"tenants": {"second": {**tenant, "server_names": ["second.example.org"]}}})
        gateway.wait_for_event("reloaded", since=mark)
        mark = gateway.mark()
        (folder / "second.yaml").unlink()
        gateway.wait_for_event("reloaded", since=mark)


def test_a_certificate_that_is_gone_for_a_while(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    with Pacs(Archive()) as pacs:
        gateway = start_gateway(watching(site, pacs.port))
        before = served(port_of(gateway.config))
        site.path("gate.pem").unlink()
        gateway.wait_for_event("reload_failed")
        assert served(port_of(gateway.config)) == before
        issued = renewed(site, "2")
        write_key(site.path("gate.key"), issued.key_pem)
        site.path("gate.pem").write_bytes(issued.chain_pem)
        wait_served(gateway, issued)
