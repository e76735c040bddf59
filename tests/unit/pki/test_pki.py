"""The PKI folder: issuing, renewing, revoking and refusing. The strict verifier of `ssl` accepts its certificates."""

import datetime
import json
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID

from proxy.pki import authority as pki
from proxy.pki import issuing
from proxy.pki.authority import Pki
from proxy.pki.index import PkiError
from proxy.pki.issuing import Names

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
CT1 = Names(dns=("ct1.example.org",))


@pytest.fixture
def authority(tmp_path: Path) -> Pki:
    return Pki.create(tmp_path / "pki", "Example Hospital", NOW)


def leaf(chain: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain.read_bytes())[0]


def crl_of(authority: Pki) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl(authority.crl.read_bytes())


def test_the_folder_is_complete_and_its_keys_are_private(authority: Pki) -> None:
    issued = authority.issue("CT1", CT1, NOW)
    files = {str(p.relative_to(authority.folder)): stat.S_IMODE(p.stat().st_mode) for p in authority.folder.rglob("*")}
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700
    assert {name for name, mode in files.items() if mode == 0o600} == {
        "root.key",
        "intermediate.key",
        "issued/CT1/key.pem",
        "issued/CT1/bundle.p12",
    }
    assert {name for name in files if "." in name} == {
        *("ca.pem", "root.pem", "root.key", "intermediate.pem", "intermediate.key", "crl.pem", "index.json"),
        *(f"issued/CT1/{name}" for name in ("cert.pem", "chain.pem", "key.pem", "bundle.p12")),
    }
    assert issued.chain == authority.folder / "issued/CT1/chain.pem"


@pytest.mark.parametrize(
    ("usage", "key_type", "eku", "days", "encipher"),
    [
        (("client",), "ec", [ExtendedKeyUsageOID.CLIENT_AUTH], 825, False),
        (("server",), "ec", [ExtendedKeyUsageOID.SERVER_AUTH], 397, False),
        (("server",), "rsa", [ExtendedKeyUsageOID.SERVER_AUTH], 397, True),
        (("client", "server"), "ec", [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH], 397, False),
    ],
)
def test_a_certificate_has_the_usage_it_was_issued_for(authority: Pki, usage, key_type, eku, days, encipher) -> None:
    names = Names.parse(["PACS.example.org."], ["spiffe://example.org/pacs"], ["10.20.0.5", "2001:db8:0::5"])
    certificate = leaf(authority.issue("pacs", names, NOW, usage=usage, key_type=key_type).chain)
    extensions = certificate.extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == eku
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert extensions.get_extension_for_class(x509.KeyUsage).value.key_encipherment is encipher
    sans = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(n.value) for n in sans] == ["pacs.example.org", "spiffe://example.org/pacs", "10.20.0.5", "2001:db8::5"]
    assert certificate.not_valid_after_utc == NOW + datetime.timedelta(days=days)
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey if key_type == "rsa" else ec.EllipticCurvePublicKey)


@pytest.mark.parametrize("key_type", ["ec", "rsa"])
def test_both_sides_verify_strictly(tmp_path: Path, key_type) -> None:
    authority = Pki.create(tmp_path / "pki", "Example", NOW, key_type=key_type)
    server = authority.issue("pacs", Names(dns=("pacs.example.org",)), NOW, usage=("server",))
    client = authority.issue("CT1", CT1, NOW)
    contexts = []
    for protocol, own in ((ssl.PROTOCOL_TLS_SERVER, server), (ssl.PROTOCOL_TLS_CLIENT, client)):
        context = ssl.SSLContext(protocol)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_CRL_CHECK_LEAF
        context.load_verify_locations(authority.folder / "root.pem")
        context.load_verify_locations(authority.crl)
        context.load_cert_chain(own.chain, own.key)
        contexts.append(context)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        contexts[1].wrap_bio(to_client, to_server, server_hostname="pacs.example.org"),
        contexts[0].wrap_bio(to_server, to_client, server_side=True),
    ]
    for side in sides * 3:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert sides[1].getpeercert()["subjectAltName"] == (("DNS", "ct1.example.org"),)


def test_nothing_outlives_its_issuer(authority: Pki) -> None:
    late = NOW + datetime.timedelta(days=issuing.CA_DAYS - 10)
    certificate = leaf(authority.issue("CT1", CT1, late).chain)
    assert certificate.not_valid_after_utc == NOW + datetime.timedelta(days=issuing.CA_DAYS)
    with pytest.raises(PkiError, match="CT2: the CA expired on"):
        authority.issue("CT2", Names(dns=("ct2",)), late + datetime.timedelta(days=11))


def test_revoking_is_in_the_crl_and_frees_the_name(authority: Pki) -> None:
    first = authority.issue("CT1", CT1, NOW)
    serial = leaf(first.chain).serial_number
    before = crl_of(authority)
    assert [e.name for e in authority.revoke("CT1", NOW)] == ["CT1"]
    after = crl_of(authority)
    assert before.get_revoked_certificate_by_serial_number(serial) is None
    assert after.get_revoked_certificate_by_serial_number(serial) is not None
    numbers = [c.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for c in (before, after)]
    assert numbers == [1, 2]
    assert (authority.folder / "retired" / f"CT1-{serial:x}" / "key.pem").is_file()
    assert leaf(authority.issue("CT1", CT1, NOW).chain).serial_number != serial
    assert len(Pki.open(authority.folder).entries()) == 2


def test_renewing_keeps_the_old_one_in_force_until_it_is_revoked_by_serial(authority: Pki) -> None:
    old = authority.issue("CT1", CT1, NOW).entry
    new = authority.issue("CT1", CT1, NOW, renew=True).entry
    assert (authority.folder / "retired" / f"CT1-{old.serial}").is_dir()
    assert all(entry.is_valid(NOW) for entry in authority.entries())
    authority.revoke(old.serial, NOW)
    assert [(e.serial, e.revoked is None) for e in authority.entries()] == [(old.serial, False), (new.serial, True)]
    assert f"{leaf(authority.folder / 'issued/CT1/chain.pem').serial_number:x}" == new.serial


def test_the_root_key_may_be_away(authority: Pki) -> None:
    (authority.folder / "root.key").unlink()
    issued = authority.issue("CT1", CT1, NOW).entry
    assert [entry.serial for entry in authority.revoke("CT1", NOW)] == [issued.serial]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("password", [None, "geheim ü"])
def test_pkcs12_holds_key_and_chain(authority: Pki, password: str | None, legacy: bool) -> None:
    issued = authority.issue("CT1", CT1, NOW, password=password, legacy_bundle=legacy)
    encoded = password.encode() if password else None
    bundle = pkcs12.load_pkcs12(issued.bundle.read_bytes(), encoded)
    assert bundle.cert.friendly_name == b"CT1"
    assert bundle.cert.certificate == leaf(issued.chain)
    assert len(bundle.additional_certs) == 2
    assert bundle.key.public_key() == leaf(issued.chain).public_key()


def test_a_device_may_keep_its_key(authority: Pki, tmp_path: Path) -> None:
    path = pki.create_request(tmp_path / "elsewhere", "MR1", Names(dns=("other.name",)), usage=("client",))
    assert stat.S_IMODE((path.parent / "key.pem").stat().st_mode) == 0o600
    issued = authority.issue("MR1", Names(dns=("mr1.example.org",)), NOW, request=path.read_bytes())
    assert (issued.key, issued.bundle) == (None, None)
    assert issued.entry.dns == ("mr1.example.org",)  # not what the request asks for
    assert leaf(issued.chain).public_key() == x509.load_pem_x509_csr(path.read_bytes()).public_key()


def test_a_bad_request_is_refused(authority: Pki, tmp_path: Path) -> None:
    good = pki.create_request(tmp_path, "MR1", CT1, usage=("client",)).read_bytes()
    der = bytearray(x509.load_pem_x509_csr(good).public_bytes(issuing.serialization.Encoding.DER))
    der[-1] ^= 1
    weak = issuing.build_request("MR1", rsa.generate_private_key(65537, 1024), CT1, ("client",))
    for data, text in [
        (b"hello", "not a certificate signing request"),
        (bytes(der), "does not verify"),
        (weak.public_bytes(issuing.serialization.Encoding.PEM), "RSA key of 1024 bits; at least 2048"),
    ]:
        with pytest.raises(PkiError, match=text):
            authority.issue("MR1", CT1, NOW, request=data)
    assert authority.entries() == []
    assert list((authority.folder / "issued").iterdir()) == []


def test_nothing_is_overwritten(authority: Pki, tmp_path: Path) -> None:
    before = {p: p.read_bytes() for p in authority.folder.rglob("*.*") if p.is_file()}
    authority.issue("CT1", CT1, NOW)
    with pytest.raises(PkiError, match="not empty; choose another folder"):
        Pki.create(authority.folder, "Example", NOW)
    with pytest.raises(PkiError, match="CT1 exists; add --renew"):
        authority.issue("CT1", CT1, NOW)
    with pytest.raises(PkiError, match=r"CT2: ct1\.example\.org is in the certificate of CT1 already"):
        authority.issue("CT2", CT1, NOW)
    with pytest.raises(PkiError, match=r"no certificate of that name or serial is in force \(in force: CT1\)"):
        authority.revoke("CT9", NOW)
    pki.create_request(tmp_path, "MR1", CT1, usage=("client",))
    with pytest.raises(PkiError, match="MR1 exists"):
        pki.create_request(tmp_path, "MR1", CT1, usage=("client",))
    before.pop(authority.folder / "index.json")
    assert {p: p.read_bytes() for p in before} == before


def test_without_the_issuing_key_nothing_is_signed_and_nothing_changes(authority: Pki) -> None:
    """A certificate that is revoked in the index but in no CRL would get in, and could not be revoked again."""
    authority.issue("CT1", CT1, NOW)
    key = authority.folder / "intermediate.key"
    held, before = key.read_bytes(), (authority.entries(), authority.crl.read_bytes())
    key.unlink()
    for change in (
        lambda: authority.revoke("CT1", NOW),
        lambda: authority.write_crl(NOW),
        lambda: authority.issue("MR1", Names(dns=("mr1.example.org",)), NOW),
    ):
        with pytest.raises(PkiError, match=r"intermediate\.key is missing; bring it back: nothing can be signed"):
            change()
    assert (authority.entries(), authority.crl.read_bytes()) == before
    key.write_bytes(held)
    assert [entry.name for entry in authority.revoke("CT1", NOW)] == ["CT1"]


def test_missing_or_broken_folders_are_named(authority: Pki, tmp_path: Path) -> None:
    with pytest.raises(PkiError, match=r"no PKI in .*; make one: dicomgate pki init --dir"):
        Pki.open(tmp_path / "nowhere")
    (authority.folder / "intermediate.key").write_text("nonsense")
    with pytest.raises(PkiError, match=r"intermediate\.key: "):
        authority.issue("CT1", CT1, NOW)
    (authority.folder / "index.json").write_text(json.dumps({"certificates": [{"name": 1}], "crl_number": 1}))
    with pytest.raises(PkiError, match=r"index\.json cannot be read"):
        authority.entries()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "-x", "x" * 65, "CT1 ", "CT1\n", "Ü", "a."])
def test_names_that_are_no_folder_are_refused(authority: Pki, name: str) -> None:
    with pytest.raises(PkiError, match="cannot be the name"):
        authority.issue(name, CT1, NOW)


@pytest.mark.parametrize("name", ["CT1", "AI_STORE", "WS 1", "pacs.example.org", "x"])
def test_ae_titles_and_host_names_are_names(name: str) -> None:
    pki.check_name(name)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("dns", "a..b", "not a DNS name"),
        ("dns", "*", "not a DNS name"),
        ("dns", "a.*.b", "not a DNS name"),
        ("dns", "-a", "not a DNS name"),
        ("dns", "bücher.example", "xn--"),
        ("dns", "a\0b", "not a DNS name"),
        ("dns", "10.0.0.1", "give an address with --ip"),
        ("dns", ".".join(["a" * 50] * 6), "not a DNS name"),
        ("uri", "example.org/ct", "not a URI"),
        ("uri", "urn:a b", "not a URI"),
        ("ip", "10.0.0.256", "not an IP address"),
    ],
)
def test_names_in_a_certificate_are_checked(kind: str, text: str, message: str) -> None:
    with pytest.raises(issuing.IssuingError, match=message):
        Names.parse(**{kind: [text]})
