"""Row 125: what client certificates are judged by comes to its end while the gateway runs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.pdu import PduType
from tests.support import certs
from tests.support.archive import Archive
from tests.support.client import associate, client_context, connect, echo, release, request
from tests.support.gateway import Gateway, Record, soon
from tests.support.pacs import Pacs
from tests.support.processes import PATIENCE
from tests.support.site import Site, port_of
from tests.support.steering import reloaded
from tests.support.wire import Wire

NOT_RECOGNIZED = bytes((1, 1, 3))  # result, source and reason of an A-ASSOCIATE-RJ (PS3.8 Table 9-21)


@pytest.fixture
def config(site: Site, tmp_path: Path) -> Iterator[Record]:
    """The CA of the site vouches for clients, and has a CRL."""
    site.path("site.crl").write_bytes(certs.crl(site.root))
    auth = {"mode": "required", "ca": {"site": str(site.path("ca.pem"))}, "crl": str(site.path("site.crl"))}
    with Pacs(Archive()) as pacs:
        control = str(tmp_path / "control.sock")
        yield site.one_tenant(pacs.port, workers=1, control=control, tls={"client_auth": auth})


def connect_as(site: Site, gateway: Gateway, name: str = "ct1") -> Wire:
    certificate = (site.path(f"{name}.pem"), site.path(f"{name}.key"))
    return connect(port_of(gateway.config), client_context(certificate=certificate))


def test_row_125_a_ca_expires(
    config: Record, site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    """Devices of the CA get an alert with the reason; open associations go on; devices of another CA are served."""
    end = soon(tmp_path / "first", config)
    ending = certs.ca("Ending CA", valid=(certs.now() - certs.DAY, end))
    site.path("ending.pem").write_bytes(ending.pem)
    site.pair("ct2", certs.leaf("CT2", ending))
    config["listeners"]["dicom-tls"]["tls"]["client_auth"]["ca"]["ending"] = str(site.path("ending.pem"))
    gateway = start_gateway(config)
    open = associate(connect_as(site, gateway, "ct2"))
    told = gateway.wait_for_event("certificate_expired", 6 * PATIENCE)
    assert (told["use"], told["certificate"]) == ("ca", "ending")
    with pytest.raises((OSError, AssertionError)), connect_as(site, gateway, "ct2") as refused:
        associate(refused)  # TLS 1.3: the alert comes after the client's handshake
    record = gateway.wait_for_record()
    assert record["reason"] == "client_certificate_expired", record
    both = end.timestamp() + site.root.certificate.not_valid_after_utc.timestamp()
    assert gateway.metric("tls_certificate_not_after_timestamp_seconds", use="ca") == both
    with associate(connect_as(site, gateway)) as other:
        release(other)
    echo(open)
    release(open)


@pytest.mark.parametrize("policy", ["refuse", "accept"])
def test_row_125_a_crl_ends(
    config: Record, site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway], policy: str
) -> None:
    """Devices are rejected (RJ), or the old list is kept with a warning, and still revokes; a new list ends this."""
    end = soon(tmp_path / "first", config)
    site.pair("revoked", revoked := certs.leaf("REVOKED", site.root))
    site.path("site.crl").write_bytes(certs.crl(site.root, [revoked], next_update=end))
    config["listeners"]["dicom-tls"]["tls"]["client_auth"]["crl_expired"] = policy
    gateway = start_gateway(config)
    assert gateway.metric("crl_next_update_timestamp_seconds", issuer="site") == end.timestamp()
    open = associate(connect_as(site, gateway))
    told = gateway.wait_for_event("crl_expired", 6 * PATIENCE)
    assert (told["issuer"], told["level"]) == ("site", "error" if policy == "refuse" else "warning")
    with connect_as(site, gateway) as wire:
        wire.send(request(calling="AFTER"))
        answer = wire.receive_pdu()
    if policy == "refuse":
        assert answer[:1] == bytes([PduType.A_ASSOCIATE_RJ]) and answer[7:10] == NOT_RECOGNIZED
        record = gateway.wait_for_record(lambda record: record.get("calling_aet") == "AFTER")
        assert record["reason"] == "client_certificate_crl_stale" and "site.crl" in record["detail"]
    else:
        assert answer[:1] == bytes([PduType.A_ASSOCIATE_AC])
    with connect_as(site, gateway, "revoked") as wire:
        wire.send(request(calling="REVOKED"))
        assert wire.receive_pdu()[7:10] == NOT_RECOGNIZED
    record = gateway.wait_for_record(lambda record: record.get("calling_aet") == "REVOKED")
    assert record["reason"] == "client_certificate_revoked"
    echo(open)
    site.path("site.crl").write_bytes(certs.crl(site.root, [revoked]))
    reloaded(gateway)
    with associate(connect_as(site, gateway)) as wire:
        echo(wire)
        release(wire)
    echo(open)
    release(open)
