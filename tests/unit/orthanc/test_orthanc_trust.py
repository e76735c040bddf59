"""DicomTlsTrustedCertificates: CAs stay CAs, a self-signed certificate is pinned to the modality that it names."""

import ipaddress

import pytest
from cryptography import x509

from proxy.orthanc.model import Modality
from proxy.orthanc.trust import Trust, file_name, make_trust, sort_bundle
from proxy.x509.certificate import Certificate
from proxy.x509.files import read_certificates
from tests.support import certs
from tests.support.orthanc_import import peers, values

CA = certs.ca("Hospital CA")
ISSUING = certs.ca("Issuing CA", issuer=CA)


def read(*issued: certs.Issued) -> tuple[Certificate, ...]:
    return read_certificates(b"".join(item.pem for item in issued))


def modality(name: str, aet: str, host: str = "10.0.0.5") -> Modality:
    return Modality(name, aet, host, frozenset())


@pytest.mark.parametrize(
    ("issued", "kind"),
    [
        (CA, "authorities"),
        (ISSUING, "authorities"),
        (certs.self_signed("CT1"), "devices"),
        (certs.self_signed("CT1", ca_flag=False), "devices"),
        (certs.self_signed("CT1", ca_flag=None), "devices"),
        (certs.leaf("CT1", CA), "ignored"),
    ],
)
def test_each_kind_of_certificate_is_sorted(issued: certs.Issued, kind: str) -> None:
    bundle = sort_bundle(read(issued))
    assert [item.sha256 for item in getattr(bundle, kind)] == [issued.sha256]
    assert len(bundle.authorities + bundle.devices + bundle.ignored) == 1


def test_the_same_certificate_twice_is_one() -> None:
    assert len(sort_bundle(read(*[certs.self_signed("CT1")] * 2)).devices) == 1


def trust(*subjects: str | certs.Issued, modalities: list[Modality], ca_file: str = "") -> Trust:
    """Return the trust of a bundle, with files named by the common name."""
    issued = [certs.self_signed(item) if isinstance(item, str) else item for item in subjects]
    bundle = sort_bundle(read(*issued))
    files = {item.sha256: file_name(item).rpartition("-")[0] for item in bundle.devices}
    return make_trust(bundle, modalities, files, ca_file)


ROOM = [modality("ct-room-1", "CT1"), modality("mr", "MR1", "mr.example.org"), modality("us", "US1", "10.0.0.7")]


@pytest.mark.parametrize("subject", ["CT1", "ct1", "ct-room-1", "ct1.example.org"])
def test_a_certificate_belongs_to_the_modality_that_it_names(subject: str) -> None:
    found = trust(subject, "unknown", modalities=ROOM)
    own = file_name(read(certs.self_signed(subject))[0]).rpartition("-")[0]
    assert found.bindings("CT1") == [{"file": (own,)}]
    assert found.bindings("MR1") == found.bindings("US1") == [{"file": ("unknown",)}]
    assert found.bindings("*") == [{"file": (own, "unknown")}]


@pytest.mark.parametrize(
    ("names", "title"),
    [([x509.DNSName("mr.example.org")], "MR1"), ([x509.IPAddress(ipaddress.ip_address("10.0.0.7"))], "US1")],
)
def test_a_certificate_belongs_to_the_modality_whose_host_it_names(names: list[x509.GeneralName], title: str) -> None:
    extra = [(x509.SubjectAlternativeName(names), False)]
    found = trust(certs.self_signed("device", extra=extra), "other", modalities=ROOM)
    assert found.bindings(title) == [{"file": ("device",)}]
    assert all(found.bindings(m.aet) == [{"file": ("other",)}] for m in ROOM if m.aet != title)


def test_two_certificates_of_one_modality() -> None:
    found = trust("CT1", "ct1.example.org", modalities=ROOM)
    assert found.bindings("CT1") == [{"file": ("ct1", "ct1-example-org")}]
    # No certificate names these two, and none is unclaimed: any certificate counts, as in Orthanc.
    assert found.bindings("MR1") == [{"file": ("ct1", "ct1-example-org")}]


def test_localhost_names_no_device() -> None:
    found = trust("localhost", modalities=[modality("a", "A", "localhost"), modality("b", "B", "127.0.0.1")])
    assert found.by_title == {}
    assert found.bindings("A") == found.bindings("B") == [{"file": ("localhost",)}]


def test_cas_alone_bind_no_title_to_a_file() -> None:
    assert trust(CA, modalities=ROOM, ca_file="ca.pem").bindings("CT1") == [{}]


def test_beside_a_ca_there_are_two_ways_in() -> None:
    found = trust(CA, "CT1", "other", modalities=ROOM, ca_file="ca.pem")
    assert found.bindings("CT1") == [{"file": ("ct1",)}]
    assert found.bindings("MR1") == [{"file": ("other",)}, {"ca": ("default",)}]
    entries = peers(values(("mr", "MR1", "10.0.0.6")), trust=found)
    assert [(entry.name, entry.cert) for entry in entries] == [
        ("mr", {"file": ("other",)}),
        ("mr-by-ca", {"ca": ("default",)}),
        ("anybody", {"file": ("ct1", "other")}),
        ("anybody-by-ca", {"ca": ("default",)}),
    ]


@pytest.mark.parametrize(
    ("subject", "begins"),
    [("CT 1/../x", "ct-1-x-"), ("../../etc", "etc-"), ("\u00fc", "certificate-"), ("a" * 60, "a" * 32)],
)
def test_a_file_name_is_harmless(subject: str, begins: str) -> None:
    name = file_name(read(certs.self_signed(subject))[0])
    assert name.startswith(begins)
    assert name.endswith(".pem")
    assert "/" not in name
