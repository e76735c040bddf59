"""Files of certificates: their content, their faults, and the cache of their bytes."""

import pytest

from proxy.x509 import files
from proxy.x509.certificate import Certificate, read
from proxy.x509.files import blocks, read_certificates, read_leaf_first
from tests.support import certs

CA, CT1 = certs.ca("CA"), certs.leaf("CT1", certs.ca("CA"))


def test_the_certificates_of_a_file_keep_its_order() -> None:
    data = b"a comment\n" + CT1.chain_pem + CA.pem + CT1.key_pem
    assert [one.sha256 for one in read_certificates(data)] == [CT1.sha256, CA.sha256]


def test_the_same_bytes_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks of a configuration, its TLS contexts and its metrics all read each file of it."""
    calls = list[bytes]()

    def counted(der: bytes) -> Certificate:
        calls.append(der)
        return read(der)

    monkeypatch.setattr(files, "read", counted)
    data = certs.leaf("read once", CA).pem
    assert read_certificates(data) is read_certificates(bytes(data))
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (CT1.pem[:200], "the PEM block CERTIFICATE is cut off"),
        (CT1.pem[: 28 + 2 * 65] + b"-----END CERTIFICATE-----\n", "not a certificate in DER: an element of"),
        (CT1.pem.replace(b"MI", b"M\xc3\xa4", 1), "the PEM block CERTIFICATE is not base64"),
        (CT1.pem + CA.pem[:100], "certificate 2: the PEM block CERTIFICATE is cut off"),
        (CT1.pem.replace(b"-----END CERTIFICATE-----", b"-----END CERT-----"), "cut off"),
    ],
)
def test_the_error_for_a_broken_file_names_the_place(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=f"holds a certificate that cannot be read: .*{problem}"):
        read_certificates(data)


def test_many_beginnings_without_an_end_take_no_time() -> None:
    with pytest.raises(ValueError, match="cut off"):
        list(blocks(b"-----BEGIN CERTIFICATE-----\n" * 200_000))


def test_der_and_pem() -> None:
    assert read_leaf_first(CT1.der) == read_leaf_first(CT1.pem) == (CT1.facts,)
