import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from proxy.config.values import ClientAuthSettings
from proxy.tls.errors import TlsSetupError
from proxy.tls.revocation import RevocationLists
from proxy.tls.trust import TrustStore
from tests.support import certs
from tests.support.certs import Issued
from tests.support.tls_pair import file

ROOT = certs.ca("Hospital root")
OTHER = certs.ca("Other root")
CT1, MR1, US1 = (certs.leaf(name, ROOT) for name in ("CT1", "MR1", "US1"))


def lists(*crls: bytes, authorities: tuple[Issued, ...] = (ROOT, OTHER)) -> RevocationLists:
    return RevocationLists([file(crl, "crl.pem") for crl in crls], [one.facts for one in authorities])


def is_revoked(found: RevocationLists, leaf: Issued, issuer: Issued = ROOT) -> bool:
    return found.status([leaf.facts, issuer.facts]).revoked_by is not None


def extended(extension: x509.ExtensionType, *, critical: bool = True) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ROOT.certificate.subject)
        .last_update(certs.now())
        .next_update(certs.now() + certs.DAY)
        .add_extension(extension, critical)
    )
    return builder.sign(ROOT.key, hashes.SHA256()).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


def test_several_lists_in_one_file_and_several_files() -> None:
    found = lists(certs.crl(ROOT, [CT1]) + certs.crl(OTHER), b"a comment\n" + certs.crl(ROOT, [MR1]))
    assert [is_revoked(found, leaf) for leaf in (CT1, MR1, US1)] == [True, True, False]


def test_der() -> None:
    der = x509.load_pem_x509_crl(certs.crl(ROOT, [CT1])).public_bytes(Encoding.DER)
    assert is_revoked(lists(der), CT1)


def test_without_lists_nothing_is_revoked() -> None:
    status = lists().status([CT1.facts, ROOT.facts])
    assert (status.revoked_by, status.first_to_end) == (None, None)


def test_the_list_that_ends_first_is_named() -> None:
    soon = certs.now() + certs.DAY
    found = lists(certs.crl(ROOT), certs.crl(ROOT, next_update=soon))
    first = found.status([CT1.facts, ROOT.facts]).first_to_end
    assert first is not None
    assert first.next_update == soon.timestamp()


def test_a_leaf_alone_has_no_issuer_to_ask() -> None:
    assert not lists(certs.crl(ROOT, [CT1])).status([CT1.facts]).revoked_by


PARTIAL = {
    "full_name": [x509.UniformResourceIdentifier("http://crl.example.org/ca.crl")],
    "relative_name": None,
    "only_contains_user_certs": False,
    "only_contains_ca_certs": False,
    "only_some_reasons": None,
    "indirect_crl": False,
    "only_contains_attribute_certs": False,
}


def test_a_distribution_point_alone_is_no_obstacle() -> None:
    assert not is_revoked(lists(extended(x509.IssuingDistributionPoint(**PARTIAL))), CT1)  # type: ignore[arg-type]
    assert not is_revoked(lists(extended(x509.CRLNumber(7), critical=False)), CT1)


@pytest.mark.parametrize(
    ("crl", "problem"),
    [
        (b"", "crl.pem: holds no CRL in PEM or DER"),
        (b"rubbish", "crl.pem: holds no CRL in PEM or DER"),
        (certs.crl(ROOT)[:-30], "crl.pem: holds no CRL that can be read (the PEM block X509 CRL is cut off)"),
        (certs.crl(ROOT)[:100] + b"\n-----END X509 CRL-----\n", "crl.pem: holds no CRL that can be read"),
        (certs.crl(certs.ca("Nobody")), "the CRL is issued by CN=Nobody, which is not among the CAs here"),
        (certs.crl(ROOT, signed_by=OTHER), "the CRL of CN=Hospital root is not signed by that CA's key"),
        (extended(x509.DeltaCRLIndicator(1)), "partial CRL (critical extension 2.5.29.27)"),
        (extended(x509.IssuingDistributionPoint(**{**PARTIAL, "indirect_crl": True})), "partial CRL"),  # type: ignore[arg-type]
        (extended(x509.IssuingDistributionPoint(**{**PARTIAL, "only_contains_ca_certs": True})), "partial CRL"),  # type: ignore[arg-type]
    ],
)
def test_a_list_that_cannot_be_used_is_named(crl: bytes, problem: str) -> None:
    with pytest.raises(TlsSetupError) as caught:
        lists(crl)
    assert str(caught.value).startswith("config.yaml:1: crl.pem: ")
    assert problem in str(caught.value)


def test_a_list_of_a_pinned_certificate_is_not_of_a_ca() -> None:
    device = certs.self_signed("ORTHANC")
    settings = ClientAuthSettings("required", {"a": file(ROOT.pem)}, (file(device.pem),), (file(certs.crl(device)),))
    with pytest.raises(TlsSetupError, match="not among the CAs"):
        TrustStore(settings)
