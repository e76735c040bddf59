"""Two clinics on one port, told apart by SNI: no data of the one reaches the other, nor its PACS."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.pdu import encode_associate_rj
from tests.support import certs, scu
from tests.support.client import client_context, connect, request
from tests.support.dicomfiles import data_set_of, write_ct
from tests.support.gateway import Gateway, configuration
from tests.support.orthanc import Orthanc, orthanc
from tests.support.ports import free_port
from tests.support.processes import until
from tests.support.site import Site
from tests.support.wire import END

A, B = "clinic-a.example.org", "clinic-b.example.org"
Start = Callable[..., Gateway]


def two_tenants(site: Site, port: int, upstream_a: int, upstream_b: int, **tls_b: Any) -> dict[str, Any]:
    """Clinic A has an own CA whose certificates are optional; `tls_b` are more keys of clinic B's `tls`."""
    for name in (A, B):
        site.pair(name, certs.server(name, site.root))
    ca_a = certs.ca("Devices A")
    site.path("devices-a.pem").write_bytes(ca_a.pem)
    site.pair("device-a", certs.leaf("CT1", ca_a))
    peers = [{"aet": "*", "allow": ["all"]}]
    auth_a = {"mode": "optional", "ca": str(site.path("devices-a.pem"))}
    tenants = {
        "a": {"server_names": [A], "called_aets": ["CLINICA"], "upstream": "a", "peers": peers,
              "tls": {"certificates": [site.certificate(A)], "client_auth": auth_a}},
        "b": {"server_names": [B], "called_aets": ["CLINICB"], "upstream": "b", "peers": peers,
              "tls": {"certificates": [site.certificate(B)], **tls_b}},
    }  # fmt: skip
    return configuration({"tls": site.listener(port)}, tenants, {"a": upstream_a, "b": upstream_b})


def verifying(site: Site, client: str | None = None) -> ssl.SSLContext:
    pair = None if client is None else (site.path(f"{client}.pem"), site.path(f"{client}.key"))
    return client_context(site.path("ca.pem"), pair)


@pytest.fixture(scope="module")
def clinics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Orthanc, Orthanc]]:
    folder = tmp_path_factory.mktemp("clinics")
    with orthanc(folder / "a", aet="CLINICA") as a, orthanc(folder / "b", aet="CLINICB") as b:
        yield a, b


@pytest.mark.peers
def test_an_instance_reaches_its_own_pacs_alone(
    clinics: tuple[Orthanc, Orthanc], site: Site, start_gateway: Start, tmp_path: Path
) -> None:
    port = free_port()
    gateway = start_gateway(two_tenants(site, port, clinics[0].port, clinics[1].port))
    sent: dict[str, set[str]] = {A: set(), B: set()}
    for number in range(6):
        name, called = ((A, "CLINICA"), (B, "CLINICB"))[number % 2]
        file = tmp_path / f"{number}.dcm"
        sent[name].add(write_ct(file, 32 * 1024, patient=called))
        assert scu.store(port, file, verifying(site), name, called=called) == 0
    for name, pacs in zip((A, B), clinics, strict=True):
        assert set(pacs.sha256_by_uid(data_set_of)) == sent[name]
    refused = tmp_path / "refused.dcm"
    write_ct(refused, 1024)
    assert scu.store(port, refused, verifying(site), A, called="CLINICB") is None
    record = gateway.wait_for_record(lambda record: record["decision"] == "refused")
    assert (record["tenant"], record["reason"]) == ("a", "tenant_mismatch")
    assert [len(pacs.instances()) for pacs in clinics] == [3, 3]


@pytest.mark.parametrize(("name", "called"), [(A, "CLINICB"), (B, "CLINICA")])
def test_the_title_of_one_under_the_name_of_the_other(name: str, called: str, site: Site, start_gateway: Start) -> None:
    port = free_port()
    gateway = start_gateway(two_tenants(site, port, free_port(), free_port()))
    with connect(port, verifying(site), name) as wire:
        wire.send(request(called))
        assert wire.receive_pdu() == encode_associate_rj(1, 1, 7)
        assert wire.receive_pdu() == END
    assert gateway.wait_for_record()["reason"] == "tenant_mismatch"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_of_one_does_not_resume_at_the_other(
    version: ssl.TLSVersion, site: Site, start_gateway: Start
) -> None:
    """A resumed session would carry a certificate of A's CA past B's rules. At A itself TLS 1.2 may resume."""
    port = free_port()
    gateway = start_gateway(two_tenants(site, port, free_port(), free_port()))
    context = verifying(site, "device-a")
    context.minimum_version = context.maximum_version = version
    with connect(port, context, A) as wire:
        wire.send(request("NOBODY"))
        assert wire.receive_pdu() == encode_associate_rj(1, 1, 7)
        assert wire.tls is not None
        session = wire.tls.session
    if version is ssl.TLSVersion.TLSv1_3:
        assert session is None or not session.has_ticket
    for name in (A, B):
        with connect(port) as wire:
            wire.start_tls(context, name, session)
            assert wire.tls is not None
            assert name == A or not wire.tls.session_reused
            wire.send(request("NOBODY"))
            assert wire.receive_pdu() == encode_associate_rj(1, 1, 7)
    until(lambda: len(gateway.records) == 3, "all records")
    assert ["client_cert" in record["tls"] for record in gateway.records] == [True, True, False]
    resumed = gateway.metric("tls_handshakes_total", resumed="yes")
    assert resumed == (1 if version is ssl.TLSVersion.TLSv1_2 else 0)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("mode", ["none", "optional"])
def test_required_is_required_whatever_the_default(
    version: ssl.TLSVersion, mode: str, site: Site, start_gateway: Start
) -> None:
    ca_b = certs.ca("Devices B")
    site.path("devices-b.pem").write_bytes(ca_b.pem)
    site.pair("device-b", certs.leaf("CT1", ca_b))
    port = free_port()
    required = {"mode": "required", "ca": str(site.path("devices-b.pem"))}
    config = two_tenants(site, port, free_port(), free_port(), client_auth=required)
    if mode != "none":
        config["listeners"]["tls"]["tls"]["client_auth"] = {"mode": mode, "ca": str(site.path("ca.pem"))}
    gateway = start_gateway(config)
    for client, reason in ((None, "client_certificate_missing"), ("device-a", "client_certificate_untrusted")):
        context = verifying(site, client)
        context.minimum_version = context.maximum_version = version
        with pytest.raises(ssl.SSLError, match="alert"), connect(port, context, B) as wire:  # noqa: PT012
            wire.send(request("CLINICB"))
            wire.receive_pdu()
        record = gateway.wait_for_record(lambda record, reason=reason: record["reason"] == reason)
        assert (record["tenant"], record["decision"]) == ("b", "refused")
    # Without SNI and with B's title: no certificate of B's CA was asked for, so B cannot be reached this way.
    with connect(port, client_context(), None) as wire:
        wire.send(request("CLINICB"))
        assert wire.receive_pdu() == encode_associate_rj(1, 1, 3)
    with connect(port, verifying(site, "device-b"), B) as wire:
        wire.send(request("CLINICB"))
        assert wire.receive_pdu() == encode_associate_rj(2, 3, 1)  # admitted; its PACS is off
    not_asked = {"none": "sni_required", "optional": "certificate_required"}[mode]
    for reason in (not_asked, "upstream_unavailable"):
        assert gateway.wait_for_record(lambda record, reason=reason: record["reason"] == reason)["tenant"] == "b"
