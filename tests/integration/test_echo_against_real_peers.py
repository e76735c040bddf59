"""`dicomgate echo` against DCMTK: its result for a PACS that answers, refuses, or is not there."""

import datetime
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.cli.__main__ import main
from proxy.pki.authority import Pki
from proxy.pki.issuing import Names
from tests.support.listening import server
from tests.support.ports import free_port
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.peers

NOW = datetime.datetime.now(datetime.UTC)
Echo = Callable[..., tuple[int, dict]]


@pytest.fixture
def echo(capsys: pytest.CaptureFixture[str]) -> Echo:
    def call(port: int, *options: str | Path, host: str = "127.0.0.1") -> tuple[int, dict]:
        code = main(["echo", f"{host}:{port}", *map(str, options), "--format", "json"])
        return code, json.loads(capsys.readouterr().out)

    return call


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("echo") / "pki"
    authority = Pki.create(folder, "Example", NOW)
    names = Names(dns=("pacs.example.org",), ip=("127.0.0.1",))
    # DCMTK 3.6.7 (B.10) has no TLS 1.2 suite for an ECDSA certificate.
    authority.issue("pacs", names, NOW, usage=("server",), key_type="rsa")
    authority.issue("CT1", Names(dns=("ct1.example.org",)), NOW)
    other = Pki.create(folder.parent / "other", "Other", NOW)
    other.issue("CT1", Names(dns=("ct1.example.org",)), NOW)
    return folder


@pytest.fixture(scope="module")
def plain() -> Iterator[int]:
    port = free_port()
    with server("storescp", "--ignore", str(port), port=port):
        yield port


@pytest.fixture(scope="module")
def tls(pki: Path) -> Iterator[int]:
    """Demands a client certificate, as DCMTK does by default."""
    port, own = free_port(), pki / "issued" / "pacs"
    options = ["+tls", own / "key.pem", own / "chain.pem", "+cf", pki / "ca.pem"]
    with server("storescp", "--ignore", *options, str(port), port=port):
        yield port


def client(folder: Path, name: str = "CT1") -> list[str | Path]:
    own = folder / "issued" / name
    return ["--cert", own / "chain.pem", "--key", own / "key.pem"]


def test_a_plain_pacs_answers_and_every_step_has_its_time(plain: int, echo: Echo) -> None:
    code, told = echo(plain)
    assert (code, told["outcome"], told["status"], told["implementation"]) == (0, "ok", 0, "OFFIS_DCMTK_367")
    assert list(told["steps"]) == ["resolve", "connect", "associate", "echo", "release"]
    assert all(seconds >= 0 for seconds in told["steps"].values())


def test_a_name_is_resolved(plain: int, echo: Echo) -> None:
    assert echo(plain, host="localhost")[0] == 0


@pytest.mark.parametrize("profile", ["bcp195-rfc8996", "bcp195-nondowngrading"])
def test_tls_with_a_client_certificate_shows_the_chain(tls: int, pki: Path, echo: Echo, profile: str) -> None:
    code, told = echo(tls, "--tls", "--ca", pki / "root.pem", "--profile", profile, *client(pki))
    assert (code, told["outcome"], told["tls"]["version"]) == (0, "ok", "TLSv1.3")
    assert told["tls"]["cipher"].startswith("TLS_AES_")
    assert [c["subject"] for c in told["tls"]["chain"]][:2] == ["CN=pacs", "CN=Example Issuing CA"]
    assert told["tls"]["chain"][0]["days_left"] in (396, 397)
    assert list(told["steps"]) == ["resolve", "connect", "tls", "associate", "echo", "release"]


def test_tls_1_2_is_told(tls: int, pki: Path, echo: Echo) -> None:
    code, told = echo(tls, "--tls", "--ca", pki / "ca.pem", "--profile", "bcp195-extended", *client(pki))
    assert (code, told["tls"]["version"]) == (0, "TLSv1.2")


@pytest.mark.parametrize("profile", ["bcp195-rfc8996", "bcp195-extended"])  # TLS 1.3 and 1.2
def test_a_client_certificate_that_is_missing_or_refused_is_a_tls_failure(
    tls: int, pki: Path, echo: Echo, profile: str
) -> None:
    trust = ["--tls", "--ca", pki / "ca.pem", "--profile", profile]
    code, told = echo(tls, *trust)
    assert (code, told["outcome"], told["failed_step"]) == (1, "tls_failed", "tls")
    assert "client certificate" in told["detail"]
    assert "--cert" in told["hint"]
    code, told = echo(tls, *trust, *client(pki.parent / "other"))
    assert (code, told["outcome"], told["failed_step"]) == (1, "tls_failed", "tls")
    assert "does not trust the CA of our certificate" in told["detail"]
    code, told = echo(tls, *trust, *client(pki, "pacs"))
    assert (code, told["outcome"]) == (1, "tls_failed")
    assert "may not be used as a client's" in told["detail"]


def test_a_server_certificate_of_another_ca_or_name_is_refused(tls: int, pki: Path, echo: Echo) -> None:
    code, told = echo(tls, "--tls", "--ca", pki.parent / "other" / "ca.pem", *client(pki))
    assert (code, told["outcome"], told["tls"]) == (1, "server_certificate", None)
    code, told = echo(tls, "--tls", "--ca", pki / "ca.pem", "--sni", "other.example.org", *client(pki))
    assert (code, told["outcome"]) == (1, "server_certificate")
    assert "other.example.org" in told["detail"]
    code, told = echo(tls, "--tls", "--ca", pki / "ca.pem", "--no-sni", *client(pki))
    assert (code, told["outcome"]) == (0, "ok")
    code, told = echo(tls, "--tls", "--insecure", *client(pki))
    assert (code, told["tls"]["chain"][0]["subject"]) == (0, "CN=pacs")


def test_a_wrong_called_ae_title_is_told_in_the_words_of_the_standard(echo: Echo, tmp_path: Path) -> None:
    port = free_port()
    config = {"DicomPort": port, "DicomAet": "MAINPACS", "DicomCheckCalledAet": True, "HttpServerEnabled": False}
    config |= {"StorageDirectory": str(tmp_path), "IndexDirectory": str(tmp_path)}
    (tmp_path / "orthanc.json").write_text(json.dumps(config))
    with server("Orthanc", tmp_path / "orthanc.json", port=port):
        code, told = echo(port, "--called", "WRONG")
        assert (code, told["outcome"], told["failed_step"]) == (1, "rejected", "associate")
        assert told["detail"] == "A-ASSOCIATE-RJ 1/1/7 (called AE title not recognized)"
        assert "--called" in told["hint"]
        assert echo(port, "--called", "MAINPACS")[0] == 0


def test_tls_and_plain_mixed_up_are_told_apart(plain: int, tls: int, echo: Echo) -> None:
    code, told = echo(plain, "--tls")
    assert (code, told["outcome"]) == (1, "tls_failed")
    assert "omit --tls" in told["hint"]
    code, told = echo(tls)
    assert (code, told["outcome"] in ("closed", "not_dicom")) == (1, True)
    assert told["hint"] == "if this port speaks TLS: --tls"


def test_nobody_there_is_exit_code_3(echo: Echo) -> None:
    code, told = echo(free_port())
    assert (code, told["outcome"], told["failed_step"]) == (3, "not_connected", "connect")
    assert "Connection refused" in told["detail"]
    code, told = echo(104, host="nowhere.invalid")
    assert (code, told["outcome"]) == (3, "name_not_resolved")


def test_what_is_not_dicom_is_told(echo: Echo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.recv(4096)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        code, told = echo(listener.getsockname()[1])
        thread.join(PATIENCE)
    assert (code, told["outcome"]) == (1, "not_dicom")
    assert "HTTP/1.1 400" in told["detail"]
