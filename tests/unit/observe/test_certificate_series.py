import dataclasses

import pytest

from proxy.config.values import ClientAuthSettings, Config, File, KeyPair, TlsSettings, UpstreamTls
from proxy.observe.certificates import Series, read_ends
from proxy.observe.metrics import Metrics
from proxy.policy import CertificateConditions
from tests.support import certs

AFTER, BEFORE = "tls_certificate_not_after_timestamp_seconds", "tls_certificate_not_before_timestamp_seconds"


def certificate_series(config: Config) -> Series:
    return read_ends(config).series


@pytest.fixture
def issued() -> dict[str, certs.Issued]:
    """Two CAs, a server certificate of one of them, a self-signed device."""
    root = certs.ca("root")
    return {
        "root": root,
        "other": certs.ca("other"),
        "server": certs.server("gate", root),
        "device": certs.self_signed("CT1"),
    }


@pytest.fixture
def secured(config: Config, issued: dict[str, certs.Issued]) -> Config:
    """A configuration that uses all of them, for the listener and again for a tenant that inherits."""
    root, soon, late = issued["root"], certs.now() + certs.DAY, certs.now() + 9 * certs.DAY
    auth = ClientAuthSettings(
        mode="required",
        ca={"hospital-2024": File("old.pem", issued["other"].pem), "hospital-2026": File("new.pem", root.pem)},
        pinned=(File("certs/ct1.pem", issued["device"].pem),),
        crl=(
            File("soon.pem", certs.crl(root, next_update=soon)),
            File("both.pem", certs.crl(root, next_update=late) + certs.crl(issued["other"], next_update=late)),
        ),
    )
    chain = File("certs/pacs.pem", issued["server"].pem + root.pem)
    tls = TlsSettings("bcp195-rfc8996", (KeyPair(chain, File("certs/pacs.key", b"")),), auth)
    hospital = config.tenants["hospital"]
    pinned = CertificateConditions(file=frozenset({issued["device"].sha256}))
    peer = dataclasses.replace(hospital.peers[0], cert=pinned)
    return dataclasses.replace(
        config,
        listeners=(dataclasses.replace(config.listeners[0], tls=tls, tenant_tls={"hospital": tls}),),
        tenants={**config.tenants, "hospital": dataclasses.replace(hospital, peers=(peer,))},
    )


def test_each_certificate_once_under_its_configured_name(secured: Config, issued: dict[str, certs.Issued]) -> None:
    series = certificate_series(secured)
    expected = {
        ("server", "certs/pacs.pem"): ("server", "root"),
        ("ca", "hospital-2024"): ("other",),
        ("ca", "hospital-2026"): ("root",),
        ("client", "hospital/ct1"): ("device",),
    }
    for metric, moment in ((AFTER, "not_valid_after_utc"), (BEFORE, "not_valid_before_utc")):
        assert {labels: value for (name, labels), value in series.items() if name == metric} == {
            (use, name, f"{issued[which].certificate.serial_number:x}"): getattr(
                issued[which].certificate, moment
            ).timestamp()
            for (use, name), those in expected.items()
            for which in those
        }


def test_of_several_lists_the_one_that_ends_first_counts(secured: Config) -> None:
    series = certificate_series(secured)
    days = {
        labels[0]: round((value - certs.now().timestamp()) / 86400)
        for (name, labels), value in series.items()
        if name == "crl_next_update_timestamp_seconds"
    }
    assert days == {"hospital-2024": 9, "hospital-2026": 1}


def test_the_series_are_what_metrics_take(secured: Config) -> None:
    metrics = Metrics(secured)
    for (name, labels), value in certificate_series(secured).items():
        metrics.set(name, labels, value)
    snapshot = metrics.snapshot()
    assert len(snapshot[AFTER]) == 5
    assert all(overflow == 0 for _, overflow in snapshot["label_overflow_total"])


def test_plaintext_listeners_have_no_certificates(config: Config) -> None:
    assert certificate_series(config) == {}


def test_certificates_of_upstreams_are_named_by_their_files(config: Config, issued: dict[str, certs.Issued]) -> None:
    pair = KeyPair(File("certs/site.pem", issued["server"].pem), File("certs/site.key", b""))
    tls = UpstreamTls("bcp195-rfc8996", ca=File("certs/sites.pem", issued["root"].pem), certificate=pair)
    upstreams = {name: dataclasses.replace(upstream, tls=tls) for name, upstream in config.upstreams.items()}
    series = certificate_series(dataclasses.replace(config, upstreams=upstreams))
    for use, name, one in (("client", "certs/site.pem", "server"), ("ca", "certs/sites.pem", "root")):
        certificate = issued[one].certificate
        labels = (use, name, f"{certificate.serial_number:x}")
        assert series[AFTER, labels] == certificate.not_valid_after_utc.timestamp()
        assert series[BEFORE, labels] == certificate.not_valid_before_utc.timestamp()
    system = {
        name: dataclasses.replace(upstream, tls=UpstreamTls("legacy-aes")) for name, upstream in upstreams.items()
    }
    assert certificate_series(dataclasses.replace(config, upstreams=system)) == certificate_series(config)
