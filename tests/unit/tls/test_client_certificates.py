"""Real handshakes: the verdict of OpenSSL on client certificates, and the judgement of the gateway after it."""

import base64
import datetime
import hashlib
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from proxy.policy import VerifiedCertificate
from proxy.tls import judging
from proxy.tls.contexts import ServerContext
from proxy.tls.judging import CertificateJudge
from proxy.tls.trust import TrustStore
from tests.support import certs
from tests.support.certs import DAY, Issued
from tests.support.tls_pair import client, server_settings, shake_hands

NOW = certs.now().timestamp()
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
ROOT = certs.ca("Hospital root")
INTERMEDIATE = certs.ca("Hospital issuing CA", issuer=ROOT, pathlen=0)
OTHER = certs.ca("Other root")
CT1 = certs.leaf("CT1", ROOT, dns=["CT1.Rad.Example.ORG"], uri=["spiffe://example.org/ct/1"])
ORTHANC = certs.self_signed("ORTHANC")


def present(
    context: ServerContext, one: Issued, *, chain: bytes | None = None, now: float = NOW
) -> VerifiedCertificate:
    """Return the certificate as the context judges it. The handshake must succeed."""
    result = shake_hands(context, client(one, chain=chain))
    assert result.server_error is None
    certificate = context.client_certificate(result.server, now)
    assert certificate is not None
    return certificate


def refused(context: ServerContext, one: Issued, *, chain: bytes | None = None) -> int:
    """Return the verify code (X509_V_ERR_*) with which OpenSSL refuses the certificate."""
    error = shake_hands(context, client(one, chain=chain)).server_error
    assert isinstance(error, ssl.SSLCertVerificationError)
    return error.verify_code


def required(**settings: object) -> ServerContext:
    return ServerContext(server_settings(mode="required", **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [V12, V13])
def test_every_fact_of_a_certificate(version: ssl.TLSVersion) -> None:
    context = required(ca={"hospital": [ROOT]})
    result = shake_hands(context, client(CT1, maximum=version))
    spki = CT1.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert context.client_certificate(result.server, NOW) == VerifiedCertificate(
        sha256=CT1.sha256,
        spki_sha256=base64.b64encode(hashlib.sha256(spki).digest()).decode(),
        subject="CN=CT1",
        subject_cn=("CT1",),
        san_dns=("ct1.rad.example.org",),
        san_uri=("spiffe://example.org/ct/1",),
        issuers=(ROOT.sha256,),
        serial=f"{CT1.certificate.serial_number:x}",
        not_after=CT1.certificate.not_valid_after_utc.timestamp(),
    )


def test_other_kinds_of_alternative_names_are_not_taken_for_dns_names() -> None:
    names = x509.SubjectAlternativeName([x509.RFC822Name("pacs.example.org"), x509.DNSName("ct1.example.org")])
    certificate = present(required(ca={"hospital": [ROOT]}), certs.leaf("x", ROOT, extra=[(names, False)]))
    assert certificate.san_dns == ("ct1.example.org",)
    assert certificate.san_uri == ()


class TestChains:
    def test_the_intermediate_may_be_sent_by_the_client(self) -> None:
        leaf = certs.leaf("CT1", INTERMEDIATE)
        certificate = present(required(ca={"hospital": [ROOT]}), leaf)
        assert certificate.problem is None
        assert certificate.issuers == (INTERMEDIATE.sha256, ROOT.sha256)

    def test_the_intermediate_may_stand_in_the_ca_file(self) -> None:
        leaf = certs.leaf("CT1", INTERMEDIATE)
        certificate = present(required(ca={"hospital": [ROOT, INTERMEDIATE]}), leaf, chain=leaf.pem)
        assert certificate.problem is None
        assert certificate.issuers == (INTERMEDIATE.sha256, ROOT.sha256)

    def test_the_intermediate_alone_may_be_the_anchor(self) -> None:
        leaf = certs.leaf("CT1", INTERMEDIATE)
        for chain in (leaf.pem, leaf.chain_pem, leaf.chain_pem + ROOT.pem):
            certificate = present(required(ca={"issuing": [INTERMEDIATE]}), leaf, chain=chain)
            assert certificate.problem is None
            assert certificate.issuers == (INTERMEDIATE.sha256,)

    def test_the_root_is_found_where_openssl_stops_below_it(self) -> None:
        leaf = certs.leaf("CT1", INTERMEDIATE)
        certificate = present(required(ca={"issuing": [INTERMEDIATE], "root": [OTHER, ROOT]}), leaf)
        assert certificate.issuers == (INTERMEDIATE.sha256, ROOT.sha256)

    def test_but_not_once_it_has_expired(self) -> None:
        soon = certs.now() + datetime.timedelta(hours=1)
        root = certs.ca("Ending root", valid=(certs.now() - DAY, soon))
        issuing = certs.ca("Issuing", issuer=root)
        context = required(ca={"issuing": [issuing], "root": [root]})
        leaf = certs.leaf("CT1", issuing)
        assert present(context, leaf).issuers == (issuing.sha256, root.sha256)
        assert present(context, leaf, now=soon.timestamp() + 1).issuers == (issuing.sha256,)

    def test_and_not_where_it_limits_names(self) -> None:
        constraints = x509.NameConstraints([x509.DNSName("rad.example.org")], None)
        root = certs.ca("Limiting root", extra=[(constraints, True)])
        issuing = certs.ca("Issuing", issuer=root)
        context = required(ca={"issuing": [issuing], "root": [root]})
        assert present(context, certs.leaf("CT1", issuing)).issuers == (issuing.sha256,)

    def test_without_the_intermediate_the_chain_is_refused(self) -> None:
        leaf = certs.leaf("CT1", INTERMEDIATE)
        assert refused(required(ca={"hospital": [ROOT]}), leaf, chain=leaf.pem) == 20

    def test_a_ca_beside_the_anchor_does_not_help(self) -> None:
        sibling = certs.ca("Sibling CA", issuer=ROOT)
        assert refused(required(ca={"issuing": [INTERMEDIATE]}), certs.leaf("CT1", sibling)) in (20, 21)

    def test_wrong_ca(self) -> None:
        assert refused(required(ca={"hospital": [ROOT]}), certs.leaf("CT1", OTHER)) == 20

    def test_a_ca_of_the_same_name_with_another_key(self) -> None:
        impostor = certs.ca("Hospital root", slot="impostor")
        leaf = certs.leaf("CT1", impostor)
        assert refused(required(ca={"hospital": [ROOT]}), leaf, chain=leaf.pem + impostor.pem) in (7, 19, 20)

    def test_path_length(self) -> None:
        below = certs.ca("Too deep", issuer=INTERMEDIATE)
        assert refused(required(ca={"hospital": [ROOT]}), certs.leaf("CT1", below)) == 25

    def test_a_leaf_is_no_issuer(self) -> None:
        leaf = certs.leaf("CT2", CT1)
        assert refused(required(ca={"hospital": [ROOT]}), leaf, chain=leaf.pem + CT1.pem) in (24, 79)

    def test_name_constraints(self) -> None:
        constraints = x509.NameConstraints([x509.DNSName("rad.example.org")], None)
        limited = certs.ca("Radiology CA", issuer=ROOT, extra=[(constraints, True)])
        context = required(ca={"hospital": [ROOT]})
        assert present(context, certs.leaf("CT1", limited, dns=["ct1.rad.example.org"])).problem is None
        assert refused(context, certs.leaf("CT1", limited, dns=["ct1.lab.example.org"])) == 47


class TestValidityAndUsage:
    def test_expired(self) -> None:
        old = certs.leaf("CT1", ROOT, valid=(certs.now() - 9 * DAY, certs.now() - DAY))
        assert refused(required(ca={"hospital": [ROOT]}), old) == 10

    def test_not_yet_valid(self) -> None:
        new = certs.leaf("CT1", ROOT, valid=(certs.now() + DAY, certs.now() + 9 * DAY))
        assert refused(required(ca={"hospital": [ROOT]}), new) == 9

    def test_an_expired_ca(self) -> None:
        old = certs.ca("Old CA", valid=(certs.now() - 9 * DAY, certs.now() - DAY))
        assert refused(required(ca={"hospital": [old]}), certs.leaf("CT1", old)) == 10

    @pytest.mark.parametrize("eku", [(certs.SERVER,), (certs.EMAIL,), (certs.SERVER, certs.EMAIL)])
    def test_the_extended_key_usage_must_have_client_auth(self, eku: tuple[x509.ObjectIdentifier, ...]) -> None:
        assert refused(required(ca={"hospital": [ROOT]}), certs.leaf("CT1", ROOT, eku=eku)) == 26

    @pytest.mark.parametrize("eku", [None, (certs.CLIENT,), (certs.SERVER, certs.CLIENT)])
    def test_or_be_absent(self, eku: tuple[x509.ObjectIdentifier, ...] | None) -> None:
        assert present(required(ca={"hospital": [ROOT]}), certs.leaf("CT1", ROOT, eku=eku)).problem is None


class TestPinned:
    """A pinned certificate is trusted as itself and never as an issuer."""

    def test_a_self_signed_device_certificate(self) -> None:
        assert ORTHANC.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        certificate = present(required(pinned=[ORTHANC]), ORTHANC)
        assert certificate.problem is None
        assert certificate.sha256 == ORTHANC.sha256
        assert certificate.issuers == ()

    @pytest.mark.parametrize("ca_flag", [True, False, None])
    def test_whatever_its_basic_constraints_say(self, ca_flag: bool | None) -> None:
        device = certs.self_signed("MR1", ca_flag=ca_flag)
        assert present(required(pinned=[device], ca={"hospital": [ROOT]}), device).problem is None

    def test_what_it_issued_is_refused(self) -> None:
        forged = certs.leaf("CT1", ORTHANC, dns=["ct1.rad.example.org"])
        for chain in (forged.pem, forged.pem + ORTHANC.pem):
            certificate = present(required(pinned=[ORTHANC], ca={"hospital": [ROOT]}), forged, chain=chain)
            assert certificate.problem == "client_certificate_wrong_ca"
            assert certificate.issuers == ()

    def test_what_an_intermediate_of_it_issued_is_refused(self) -> None:
        below = certs.ca("Made by ORTHANC", issuer=ORTHANC)
        certificate = present(required(pinned=[ORTHANC], ca={"hospital": [ROOT]}), certs.leaf("CT1", below))
        assert certificate.problem == "client_certificate_wrong_ca"

    def test_what_a_pinned_certificate_below_a_ca_issued_is_refused(self) -> None:
        device = certs.ca("Device with CA:TRUE", issuer=ROOT)
        context = required(pinned=[device], ca={"hospital": [ROOT]})
        certificate = present(context, certs.leaf("CT1", device))
        assert certificate.problem == "client_certificate_wrong_ca"
        own = present(context, device)
        assert own.problem is None
        assert own.issuers == (ROOT.sha256,)

    def test_a_ca_above_a_pinned_issuer_vouches_for_a_ca_below_it_no_more(self) -> None:
        device = certs.ca("Device with CA:TRUE", issuer=ROOT)
        below = certs.ca("Configured too", issuer=device)
        context = required(pinned=[device], ca={"hospital": [ROOT], "below": [below]})
        certificate = present(context, certs.leaf("CT1", below))
        assert certificate.problem is None
        assert certificate.issuers == (below.sha256,)

    def test_one_that_a_foreign_ca_issued(self) -> None:
        device = certs.leaf("CT1", OTHER)
        certificate = present(required(pinned=[device]), device)
        assert certificate.problem is None
        assert certificate.issuers == ()

    def test_one_that_a_foreign_intermediate_issued_and_that_comes_with_it(self) -> None:
        device = certs.leaf("CT1", certs.ca("Other issuing CA", issuer=OTHER))
        certificate = present(required(pinned=[device]), device, chain=device.chain_pem + OTHER.pem)
        assert certificate.problem is None
        assert certificate.issuers == ()

    def test_its_sibling_is_refused(self) -> None:
        assert refused(required(pinned=[certs.leaf("CT1", OTHER)]), certs.leaf("CT2", OTHER)) in (20, 21)

    def test_another_certificate_of_the_same_name_is_refused(self) -> None:
        impostor = certs.self_signed("ORTHANC", slot="impostor")
        assert refused(required(pinned=[ORTHANC]), impostor) == 18

    def test_expired(self) -> None:
        device = certs.self_signed("OLD", valid=(certs.now() - 9 * DAY, certs.now() - DAY))
        assert refused(required(pinned=[device]), device) == 10

    def test_a_ca_that_is_pinned_too_counts_as_a_ca(self) -> None:
        certificate = present(required(pinned=[ROOT], ca={"hospital": [ROOT]}), CT1)
        assert certificate.problem is None
        assert certificate.issuers == (ROOT.sha256,)


class TestStrength:
    def test_level_2_refuses_short_rsa_keys_and_sha_1(self) -> None:
        rsa_root = certs.ca("RSA root", kind="rsa2048")
        context = required(ca={"hospital": [ROOT, rsa_root]})
        assert refused(context, certs.leaf("CT1", ROOT, kind="rsa1024")) == 66
        assert refused(context, certs.sha1_signed(certs.leaf("CT1", rsa_root, kind="rsa2048"))) == 68

    @pytest.mark.parametrize("profile", ["legacy-bcp195", "legacy-aes"])
    def test_under_level_0_the_gateway_does(self, profile: str) -> None:
        rsa_root = certs.ca("RSA root", kind="rsa2048")
        context = required(profile=profile, ca={"hospital": [ROOT, rsa_root]})
        short = present(context, certs.leaf("CT1", ROOT, kind="rsa1024"))
        assert short.problem == "client_certificate_weak"
        assert short.problem_detail == "CN=CT1: RSA key of 1024 bits; at least 2048 are needed"
        old = present(context, certs.sha1_signed(certs.leaf("CT1", rsa_root, kind="rsa2048")))
        assert old.problem == "client_certificate_weak"
        assert old.problem_detail == "CN=CT1: signed with SHA-1; SHA-2 is needed"
        assert present(context, certs.leaf("CT1", rsa_root, kind="rsa2048")).problem is None

    def test_b13_refuses_p224_that_level_2_lets_pass(self) -> None:
        weak = certs.ca("P-224 CA", kind="p224")
        leaf = certs.leaf("CT1", weak)
        assert present(required(ca={"hospital": [weak]}), leaf).problem is None
        certificate = present(required(profile="bcp195-rfc8996-modified", ca={"hospital": [weak]}), leaf)
        assert certificate.problem == "client_certificate_weak"
        assert certificate.problem_detail == "CN=P-224 CA: EC key of 224 bits; at least 256 are needed"

    def test_b13_refuses_a_p224_leaf(self) -> None:
        settings = server_settings(mode="required", ca={"hospital": [ROOT]})
        leaf = certs.leaf("CT1", ROOT, kind="p224")
        judge = CertificateJudge(TrustStore(settings.client_auth), checks_strength=True)
        assert judge.judge([leaf.der, ROOT.der], NOW).problem == "client_certificate_weak"

    @pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa2048", "rsa3072", "ed25519"])
    def test_b13_takes_the_rest(self, kind: str) -> None:
        context = required(profile="bcp195-rfc8996-modified", ca={"hospital": [ROOT]})
        assert present(context, certs.leaf("CT1", ROOT, kind=kind)).problem is None

    def test_how_an_anchor_itself_is_signed_does_not_matter(self) -> None:
        old_root = certs.sha1_signed(certs.ca("SHA-1 root", kind="rsa2048"))
        context = required(profile="bcp195-rfc8996-modified", ca={"hospital": [old_root]})
        assert present(context, certs.leaf("CT1", old_root)).problem is None
        device = certs.sha1_signed(certs.self_signed("OLD", kind="rsa2048"))
        assert present(required(profile="legacy-bcp195", pinned=[device]), device).problem is None


class TestRevocation:
    def test_only_issuers_that_have_a_list_are_looked_up(self) -> None:
        context = required(ca={"a": [ROOT], "b": [OTHER]}, crl=[certs.crl(ROOT, [certs.leaf("MR1", ROOT)])])
        assert present(context, certs.leaf("CT1", OTHER)).problem is None
        assert present(context, CT1).problem is None

    def test_a_serial_on_the_list(self) -> None:
        certificate = present(required(ca={"a": [ROOT]}, crl=[certs.crl(ROOT, [CT1])]), CT1)
        assert certificate.problem == "client_certificate_revoked"
        assert certificate.problem_detail == "revoked in the CRL crl.pem"

    def test_the_same_serial_of_another_issuer(self) -> None:
        assert present(required(ca={"a": [ROOT, OTHER]}, crl=[certs.crl(OTHER, [CT1])]), CT1).problem is None

    def test_a_revoked_intermediate(self) -> None:
        context = required(ca={"a": [ROOT]}, crl=[certs.crl(ROOT, [INTERMEDIATE])])
        assert present(context, certs.leaf("CT1", INTERMEDIATE)).problem == "client_certificate_revoked"

    def test_a_revoked_intermediate_that_is_an_anchor_itself(self) -> None:
        context = required(ca={"a": [ROOT, INTERMEDIATE]}, crl=[certs.crl(ROOT, [INTERMEDIATE])])
        assert present(context, certs.leaf("CT1", INTERMEDIATE)).problem == "client_certificate_revoked"

    @pytest.mark.parametrize(
        "root",
        [
            certs.ca("Expired root", valid=(certs.now() - 9 * DAY, certs.now() - DAY)),
            certs.ca("Root with limits", extra=[(x509.NameConstraints([x509.DNSName("example.org")], None), True)]),
        ],
        ids=["expired", "limits names"],
    )
    def test_a_root_that_vouches_for_nothing_here_revokes_all_the_same(self, root: Issued) -> None:
        issuing = certs.ca("Issuing", issuer=root)
        leaf = certs.leaf("CT1", issuing)
        assert present(required(ca={"a": [root, issuing]}), leaf).issuers == (issuing.sha256,)
        context = required(ca={"a": [root, issuing]}, crl=[certs.crl(root, [issuing])])
        assert present(context, leaf, chain=leaf.pem).problem == "client_certificate_revoked"
        context = required(ca={"a": [root, issuing]}, revoked=[root])
        assert present(context, leaf, chain=leaf.pem).problem == "client_certificate_revoked"

    def test_the_list_of_an_intermediate(self) -> None:
        leaf = certs.leaf("CT1", INTERMEDIATE)
        context = required(ca={"a": [ROOT, INTERMEDIATE]}, crl=[certs.crl(INTERMEDIATE, [leaf])])
        assert present(context, leaf).problem == "client_certificate_revoked"

    @pytest.mark.parametrize("spelling", ["EXPIRED root", "Expired  root", "Expired root"])
    @pytest.mark.parametrize("kind", ["p256", "rsa2048", "ed25519"])
    def test_a_root_whose_name_is_written_otherwise_revokes(self, kind: str, spelling: str) -> None:
        """OpenSSL takes the name in other letters, spaces or another string type for the same one."""
        root = certs.ca("Expired root", kind=kind, valid=(certs.now() - 9 * DAY, certs.now() - DAY))
        names = [x509.NameAttribute(NameOID.COMMON_NAME, spelling, _type=_ASN1Type.PrintableString)]
        issuing = certs.ca("Issuing", issuer=certs.renamed(root, x509.Name(names)))
        leaf = certs.leaf("CT1", issuing)
        context = required(ca={"a": [root, issuing]}, crl=[certs.crl(root, [issuing])])
        assert present(context, leaf, chain=leaf.pem).problem == "client_certificate_revoked"

    def test_a_list_past_its_next_update(self) -> None:
        soon = certs.now() + datetime.timedelta(hours=1)
        crl = certs.crl(ROOT, next_update=soon)
        context = required(ca={"a": [ROOT]}, crl=[crl])
        assert present(context, CT1).problem is None
        late = present(context, CT1, now=soon.timestamp() + 1)
        assert late.problem == "client_certificate_crl_stale"
        assert late.problem_detail == "the CRL crl.pem is past its nextUpdate"
        patient = required(ca={"a": [ROOT]}, crl=[crl], crl_expired="accept")
        assert present(patient, CT1, now=soon.timestamp() + 1).problem is None

    def test_an_old_list_still_revokes(self) -> None:
        crl = certs.crl(ROOT, [CT1], last_update=certs.now() - 9 * DAY, next_update=certs.now() - DAY)
        for crl_expired in ("refuse", "accept"):
            context = required(ca={"a": [ROOT]}, crl=[crl], crl_expired=crl_expired)
            assert present(context, CT1).problem == "client_certificate_revoked"

    def test_a_renewed_ca_certificate_keeps_the_list_of_its_key(self) -> None:
        renewed = certs.ca("Hospital root")
        assert renewed.sha256 != ROOT.sha256
        leaf = certs.leaf("CT1", renewed)
        context = required(ca={"a": [renewed, ROOT]}, crl=[certs.crl(ROOT, [leaf])])
        assert present(context, leaf).problem == "client_certificate_revoked"

    @pytest.mark.parametrize("pinned", [(), (CT1,)])
    def test_a_fingerprint_under_revoked(self, pinned: tuple[Issued, ...]) -> None:
        context = required(ca={"a": [ROOT]}, pinned=pinned, revoked=[CT1])
        assert present(context, CT1).problem == "client_certificate_revoked"

    def test_the_fingerprint_of_an_intermediate_under_revoked(self) -> None:
        context = required(ca={"a": [ROOT]}, revoked=[INTERMEDIATE])
        assert present(context, certs.leaf("CT1", INTERMEDIATE)).problem == "client_certificate_revoked"


class TestMemory:
    def test_it_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(judging, "MAX_REMEMBERED", 2)
        judge = CertificateJudge(TrustStore(server_settings(ca={"a": [ROOT]}).client_auth), checks_strength=False)
        leaves = [certs.leaf(f"CT{number}", ROOT) for number in range(4)]
        first = [judge.judge([leaf.der, ROOT.der], NOW) for leaf in leaves]
        assert len(judge._remembered) == 2
        assert [judge.judge([leaf.der, ROOT.der], NOW) for leaf in leaves] == first
        assert len(judge._remembered) == 2

    def test_another_chain_of_the_same_leaf_is_judged_again(self) -> None:
        settings = server_settings(ca={"a": [ROOT]}, pinned=[ORTHANC])
        judge = CertificateJudge(TrustStore(settings.client_auth), checks_strength=False)
        assert judge.judge([CT1.der, ROOT.der], NOW).problem is None
        assert judge.judge([CT1.der, ORTHANC.der], NOW).problem == "client_certificate_wrong_ca"
        assert judge.judge([CT1.der, ROOT.der], NOW).problem is None

    def test_a_certificate_that_cannot_be_read_is_refused(self) -> None:
        judge = CertificateJudge(TrustStore(server_settings(ca={"a": [ROOT]}).client_auth), checks_strength=False)
        broken = CT1.der.replace(b"CT1.Rad.Example.ORG", b"CT1.Rad.Example.\xff\xff\xff")
        certificate = judge.judge([broken, ROOT.der], NOW)
        assert certificate.problem == "client_certificate_untrusted"
        assert certificate.sha256 == hashlib.sha256(broken).hexdigest()
