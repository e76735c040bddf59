"""Certificates that OpenSSL reads and `cryptography` does not: their readable fields, and the name of the odd one."""

import datetime
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.tls.certificates import for_policy
from proxy.x509.certificate import Certificate, Unreadable, read
from proxy.x509.extensions import CLIENT_AUTH
from proxy.x509.files import read_certificates
from tests.support import certs
from tests.support.processes import clean_environment
from tests.unit.x509.writing import (
    ISSUER,
    KEY,
    SERIAL,
    SUBJECT,
    VALIDITY,
    VERSION,
    element,
    extension,
    extensions_of,
    replace_extensions,
    replace_field,
)

UTC = datetime.UTC
START, END = datetime.datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC), datetime.datetime(2051, 1, 1, tzinfo=UTC)
GOOD = certs.leaf("CT1", certs.ca("CA"), dns=["ct1.example.org"], uri=["urn:x"], ip=["10.0.0.1"], valid=(START, END))
SEQUENCE, SET, INTEGER, OID = 0x30, 0x31, 0x02, 0x06
CN, COUNTRY = b"\x55\x04\x03", b"\x55\x04\x06"
SAN = b"\x55\x1d\x11"


def name(tag: int, content: bytes, oid: bytes = CN) -> bytes:
    return element(SEQUENCE, element(SET, element(SEQUENCE, element(OID, oid) + element(tag, content))))


def test_every_field_of_a_good_one() -> None:
    found = read(GOOD.der)
    assert (found.sha256, found.version, found.serial) == (GOOD.sha256, 3, GOOD.certificate.serial_number)
    assert (found.subject.text, found.issuer.text, found.subject.common_names) == ("CN=CT1", "CN=CA", ("CT1",))
    assert (found.not_before, found.not_after) == (START, END)
    assert (str(found.key), found.key.bits, found.key.curve) == ("EC P-256", 256, "secp256r1")
    assert (found.names.dns, found.names.uri, found.names.ip) == (("ct1.example.org",), ("urn:x",), ("10.0.0.1",))
    assert (found.signature_hash, found.is_ca, found.is_self_issued) == ("sha256", False, False)
    assert found.extended_key_usage == (CLIENT_AUTH,)
    assert found.key_usage is None
    assert found.subject_key_identifier is not None and len(found.subject_key_identifier) == 20
    assert found.unreadable == {}
    assert found.parsed == GOOD.certificate
    assert found == read(GOOD.certificate)


@pytest.mark.parametrize(
    ("value", "text", "problem"),
    [
        ((0x14, b"Klinik Z\xfcrich"), "CN=Klinik Zürich", "outside ASCII"),
        ((0x13, b"ct1@pacs"), "CN=ct1@pacs", "PrintableString"),
        ((0x16, b"Z\xfcrich"), "CN=Zürich", "outside ASCII"),
        ((0x0C, b"CT1\xff"), "CN=#435431ff", "not UTF-8"),
        ((0x1E, b"\0C\0T\0"), "CN=#004300540\x30", "not in its own encoding"),
        ((0x1C, b"CT1"), "CN=#435431", "not in its own encoding"),
        ((0x03, b"\0CT1"), "CN=#00435431", "not text"),
        ((0x15, b"CT1"), "CN=#435431", "not text"),
    ],
)
def test_a_name_of_an_odd_string(value: tuple[int, bytes], text: str, problem: str) -> None:
    found = read(replace_field(GOOD.der, SUBJECT, name(*value)))
    assert found.subject.text == text
    assert list(found.unreadable) == ["subject"]
    assert problem in found.unreadable["subject"]
    the_rest_is_known(found, but="subject")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((0x0C, "Zürich".encode()), "CN=Zürich"),
        ((0x14, "Zürich".encode()), "CN=Zürich"),
        ((0x1E, "Ä1".encode("utf-16-be")), "CN=Ä1"),
        ((0x1C, "Ä1".encode("utf-32-be")), "CN=Ä1"),
        ((0x16, b"ct1@pacs"), "CN=ct1@pacs"),
        ((0x0C, b' #"+,;<>\\ \0 '), 'CN=\\ #\\"\\+\\,\\;\\<\\>\\\\ \\00\\ '),
    ],
)
def test_a_name_that_both_read(value: tuple[int, bytes], text: str) -> None:
    found = read(replace_field(GOOD.der, SUBJECT, name(*value)))
    assert (found.subject.text, found.unreadable) == (text, {})


@pytest.mark.filterwarnings("ignore")
def test_a_country_of_three_letters_is_read() -> None:
    found = read(replace_field(GOOD.der, SUBJECT, name(0x13, b"GER", COUNTRY)))
    assert (found.subject.text, found.unreadable) == ("C=GER", {})


def utc(text: bytes) -> bytes:
    return element(0x17, text)


@pytest.mark.parametrize(
    ("field", "new", "unreadable"),
    [
        (VERSION, element(0xA0, element(INTEGER, b"\3")), "version"),
        (VERSION, element(0xA0, element(INTEGER, b"\0")), "version"),
        (SERIAL, element(INTEGER, b"\0\0\1"), "serial"),
        (SERIAL, element(INTEGER, b"\xff\xff"), "serial"),
        (SERIAL, element(INTEGER, b""), "serial"),
        (SERIAL, element(0x04, b"\1"), "serial"),
        (ISSUER, name(0x14, b"Z\xfcrich"), "issuer"),
        (SUBJECT, element(SEQUENCE, element(SET, b"")), "subject"),
        (VALIDITY, element(SEQUENCE, utc(b"250102030405+0100") + utc(b"300102030405Z")), "validity"),
        (VALIDITY, element(SEQUENCE, utc(b"2501020304Z") + utc(b"300102030405Z")), "validity"),
        (VALIDITY, element(SEQUENCE, utc(b"251302030405Z") + utc(b"300102030405Z")), "validity"),
        (VALIDITY, element(SEQUENCE, b""), "validity"),
        (KEY, element(SEQUENCE, b""), "public key"),
    ],
)
def test_a_field_that_is_not_well_formed_is_named_and_the_others_are_known(
    field: int, new: bytes, unreadable: str
) -> None:
    found = read(replace_field(GOOD.der, field, new))
    assert list(found.unreadable) == [unreadable]
    assert found.unreadable[unreadable]
    the_rest_is_known(found, but=unreadable)


def the_rest_is_known(found: Certificate, *, but: str) -> None:
    known: dict[str, Callable[[Certificate], object]] = {
        "serial": lambda one: one.serial,
        "issuer": lambda one: one.issuer,
        "subject": lambda one: one.subject,
        "validity": lambda one: (one.not_before, one.not_after),
        "public key": lambda one: one.key,
        "subjectAltName": lambda one: one.names,
        "extendedKeyUsage": lambda one: one.extended_key_usage,
        "basicConstraints": lambda one: one.basic_constraints,
    }
    whole = read(GOOD.der)
    for field, look in known.items():
        if field != but:
            assert look(found) == look(whole), field


def test_times_that_can_be_read_are_shown_and_others_make_it_never_valid() -> None:
    odd = read(replace_field(GOOD.der, VALIDITY, element(SEQUENCE, utc(b"2501020304-0130") + utc(b"300102030405Z"))))
    assert odd.not_before == datetime.datetime(2025, 1, 2, 4, 34, tzinfo=datetime.UTC)
    never = read(replace_field(GOOD.der, VALIDITY, element(SEQUENCE, utc(b"yesterday") + utc(b"tomorrow"))))
    assert never.not_before > never.not_after


def test_a_negative_serial_number_is_read() -> None:
    assert read(replace_field(GOOD.der, SERIAL, element(INTEGER, b"\x80"))).serial == -128


@pytest.mark.parametrize(
    ("broken", "unreadable"),
    [
        (extension(SAN, element(SEQUENCE, element(0x82, b"ct\xff"))), "subjectAltName"),
        (extension(SAN, element(SEQUENCE, element(0x87, b"\x7f\0\1"))), "subjectAltName"),
        (extension(SAN, b"\x30\x82\xff\xff\x01"), "subjectAltName"),
        (extension(b"\x55\x1d\x25", b"\x30\x82\xff\xff\x01"), "extendedKeyUsage"),
        (extension(b"\x55\x1d\x0f", b"\x03\x02\x09\x80"), "keyUsage"),
        (extension(b"\x55\x1d\x13", b"\x30\x03\x02\x01"), "basicConstraints"),
        (extension(b"\x55\x1d\x0e", b"\x05\x00"), "subjectKeyIdentifier"),
        (extension(b"\x55\x1d\x23", b"\x04\x00"), "authorityKeyIdentifier"),
        (extension(b"\x55\x1d\x1f", b"\x30\x82\xff\xff\x01"), "extensions"),  # not read by `proxy.x509`
    ],
)
def test_an_extension_that_is_not_well_formed_is_named(broken: bytes, unreadable: str) -> None:
    oid = broken[: broken.index(b"\x04", 5)][2:]
    others = [one for one in extensions_of(GOOD.der) if oid not in one]
    found = read(replace_extensions(GOOD.der, [*others, broken]))
    assert list(found.unreadable) == [unreadable]
    assert found.subject.text == "CN=CT1"
    if unreadable != "subjectAltName":
        assert found.names.dns == ("ct1.example.org",)


def test_an_extension_that_occurs_twice_is_named_and_its_first_value_shown() -> None:
    second = extension(SAN, element(SEQUENCE, element(0x82, b"other.example.org")))
    found = read(replace_extensions(GOOD.der, [*extensions_of(GOOD.der), second]))
    assert found.names.dns == ("ct1.example.org",)
    assert found.unreadable == {"subjectAltName": "occurs twice"}


def test_an_unreadable_field_matches_nothing() -> None:
    for odd in (
        replace_field(GOOD.der, SUBJECT, name(0x13, b"ct1@pacs")),
        replace_field(GOOD.der, SERIAL, element(INTEGER, b"\0\0\1")),
        replace_extensions(GOOD.der, [extension(SAN, element(SEQUENCE, element(0x87, b"\1")))]),
    ):
        with pytest.raises(Unreadable):
            for_policy(read(odd))


def test_a_file_names_the_certificate_and_the_field() -> None:
    odd = read(replace_field(GOOD.der, SUBJECT, name(0x14, b"Z\xfcrich")))
    pem = ssl.DER_cert_to_PEM_cert(odd.der).encode()
    words = "holds a certificate that cannot be read: certificate 2: CN=Zürich: subject: CN is a string outside ASCII"
    with pytest.raises(ValueError, match=words):
        read_certificates(GOOD.pem + pem)


@pytest.mark.parametrize("cut", [0, 1, 2, 5, 40, 200])
def test_a_certificate_that_is_cut_off_is_an_error_of_ours(cut: int) -> None:
    with pytest.raises(Unreadable):
        read(GOOD.der[:cut])


@pytest.mark.peers
@pytest.mark.parametrize(
    ("string_mask", "unreadable"),
    [
        ("MASK:0x4", {"issuer", "subject"}),  # T61String
        ("MASK:0x800", set()),  # BMPString
        ("utf8only", set()),
    ],
)
def test_a_name_in_any_string_type_of_openssl(tmp_path: Path, string_mask: str, unreadable: set[str]) -> None:
    """OpenSSL signs and verifies the certificate. Its name is read in every string type that OpenSSL can choose."""
    (tmp_path / "o.cnf").write_text(
        f"[req]\ndistinguished_name=dn\nprompt=no\nutf8=yes\nstring_mask={string_mask}\nx509_extensions=v3\n"
        f"[dn]\nCN=Klinik Zürich\n[v3]\nsubjectAltName=DNS:ct1.example.org\n"
    )
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-config", "o.cnf", "-keyout", "key.pem", "-out", "cert.pem", "-days", "9", "-utf8"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=clean_environment())
    verify = ["openssl", "verify", "-CAfile", "cert.pem", "cert.pem"]
    subprocess.run(verify, cwd=tmp_path, check=True, capture_output=True, env=clean_environment())
    found = read(ssl.PEM_cert_to_DER_cert((tmp_path / "cert.pem").read_text()))
    assert found.subject.text == "CN=Klinik Zürich"
    assert found.names.dns == ("ct1.example.org",)
    assert found.is_self_issued
    assert set(found.unreadable) == unreadable
