"""An Orthanc's own configuration, imported: the gateway admits the same senders as Orthanc by itself.

Orthanc drops an association or aborts it; the gateway rejects it and says why. The configuration is that of Orthanc's
issue 52, and one with TLS and self-signed certificates.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import certs, dcmtk
from tests.support.configs import write_pair
from tests.support.dicomfiles import write_ct
from tests.support.gateway import REPOSITORY, TIMEOUTS, Gateway
from tests.support.orthanc import Orthanc, orthanc
from tests.support.orthanc_import import as_built, values
from tests.support.ports import free_port
from tests.support.processes import Child, clean_environment
from tests.support.site import port_of

pytestmark = pytest.mark.peers

THREAD = values(
    ("peer", "PEER", "127.0.0.1"),
    ("peer2", "BAD_IP", "127.0.0.2"),
    DicomCheckCalledAet=True,
    DicomAlwaysAllowEcho=False,
    DicomAlwaysAllowStore=False,
    DicomAlwaysAllowFind=False,
    DicomCheckModalityHost=True,
)
THREAD["DicomModalities"]["peer3"] = {"AET": "NO_FIND", "Host": "127.0.0.1", "Port": 104, "AllowFind": False}
#: calling, called, what the tool prints, the reason
REFUSALS = {
    "unknown title": ("BAD_AET", "ORTHANC", dcmtk.CALLING_UNKNOWN, "calling_aet_unknown"),
    "wrong address": ("BAD_IP", "ORTHANC", dcmtk.CALLING_UNKNOWN, "source_not_allowed"),
    "wrong called title": ("PEER", "WRONG_ORTHANC", dcmtk.CALLED_UNKNOWN, "called_aet_unknown"),
}
TOOLS = ["echoscu", "findscu", "storescu"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """The Orthanc of the thread, with nothing in front of it."""
    with orthanc(tmp_path_factory.mktemp("alone"), **THREAD) as server:
        yield server


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """The same Orthanc behind a gateway, with the one change that the imported configuration asks for."""
    with orthanc(tmp_path_factory.mktemp("behind"), **{**THREAD, "DicomCheckModalityHost": False}) as server:
        yield server


def imported(folder: Path, settings: dict[str, Any], pacs: int) -> str:
    """The configuration that `dicomgate import` writes into the folder, without unsupported keys, on free ports."""
    (folder / "orthanc.json").write_text(f"// made for a test\n{json.dumps(settings)}")
    target = folder / "imported.yaml"
    options = ["--output", target, "--pacs", f"127.0.0.1:{pacs}", "--listen", f"127.0.0.1:{free_port()}"]
    verb = Child(
        [sys.executable, "-m", "proxy.cli", "import", folder / "orthanc.json", *options],
        env=clean_environment({"PYTHONPATH": str(REPOSITORY)}),
    )
    verb.process.wait(20)
    assert verb.end() == 0, verb.text
    frame = {"control": None, "workers": 1, "admin": {"listen": f"127.0.0.1:{free_port()}"}, "timeouts": TIMEOUTS}
    # JSON is YAML: the frame of every test in front of what was written.
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in frame.items()) + as_built(target.read_text())


@pytest.fixture(scope="module")
def gateway(behind: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("plain")
    yield from running(folder, imported(folder, THREAD, behind.port))


def running(folder: Path, config: str) -> Iterator[Gateway]:
    started = Gateway(folder, config)
    try:
        yield started
    finally:
        started.stop()


def send(
    tool: str, port: int, folder: Path, calling: str, called: str, options: list[str] | None = None
) -> dcmtk.Result:
    if tool == "storescu":
        write_ct(folder / "image.dcm", 4096)
        return dcmtk.storescu(port, folder / "image.dcm", options, calling=calling, called=called)
    return {"echoscu": dcmtk.echoscu, "findscu": dcmtk.findscu}[tool](port, options, calling=calling, called=called)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("case", REFUSALS)
def test_whom_orthanc_refuses_the_gateway_rejects_with_a_reason(
    tool: str, case: str, alone: Orthanc, behind: Orthanc, gateway: Gateway, tmp_path: Path
) -> None:
    calling, called, words, reason = REFUSALS[case]
    assert send(tool, alone.port, tmp_path, calling, called).code != 0
    before, mark = behind.instances(), gateway.mark()
    result = send(tool, port_of(gateway.config, "dicom"), tmp_path, calling, called)
    assert result.code != 0
    assert dcmtk.PERMANENT in result.text and words in result.text, result.text
    record = gateway.wait_for_record(since=mark)
    assert (record["decision"], record["reason"]) == ("refused", reason)
    assert "upstream_setup_s" not in record  # Orthanc was not dialled
    assert behind.instances() == before


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(("calling", "called"), [("PEER", "ORTHANC"), ("peer", "Orthanc")])
def test_whom_orthanc_lets_in_the_gateway_lets_in(
    tool: str, calling: str, called: str, alone: Orthanc, behind: Orthanc, gateway: Gateway, tmp_path: Path
) -> None:
    direct = send(tool, alone.port, tmp_path, calling, called)
    assert direct.code == 0, direct.text
    mark = gateway.mark()
    result = send(tool, port_of(gateway.config, "dicom"), tmp_path, calling, called)
    assert result.code == 0, result.text
    record = gateway.wait_for_record(since=mark)
    assert (record["decision"], record["ended"], record["peer"]) == ("accepted", "released", "peer")
    assert len(behind.instances()) == len(alone.instances())


@pytest.mark.parametrize("tool", TOOLS)
def test_an_operation_that_orthanc_forbids_the_gateway_forbids(
    tool: str, alone: Orthanc, gateway: Gateway, tmp_path: Path
) -> None:
    forbidden, mark = tool == "findscu", gateway.mark()
    direct = send(tool, alone.port, tmp_path, "NO_FIND", "ORTHANC")
    assert ("Peer aborted Association" in direct.text) == forbidden, direct.text  # findscu ends with 0 all the same
    result = send(tool, port_of(gateway.config, "dicom"), tmp_path, "NO_FIND", "ORTHANC")
    record = gateway.wait_for_record(since=mark)
    if forbidden:
        assert dcmtk.PERMANENT in result.text, result.text
        assert (record["decision"], record["reason"]) == ("refused", "no_permitted_context")
    else:
        assert result.code == 0, result.text
        assert record["decision"] == "accepted"


@pytest.fixture(scope="module")
def tls(behind: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway of an Orthanc with TLS that trusts the self-signed certificates of PEER and BAD_IP."""
    folder = tmp_path_factory.mktemp("tls")
    write_pair(folder, certs.self_signed("orthanc", kind="rsa2048"), "orthanc")
    for name in ("PEER", "BAD_IP", "STRANGER"):
        write_pair(folder, certs.self_signed(name, kind="rsa2048"), name)
    (folder / "trusted.pem").write_bytes(b"".join((folder / f"{n}.pem").read_bytes() for n in ("PEER", "BAD_IP")))
    settings = {
        **THREAD,
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": "orthanc.pem",
        "DicomTlsPrivateKey": "orthanc.key",
        "DicomTlsTrustedCertificates": "trusted.pem",
    }
    yield from running(folder, imported(folder, settings, behind.port))


def show(certificate: str, tls: Gateway) -> list[str]:
    """Options for a certificate of the site."""
    folder = tls.path.parent
    return ["+tls", str(folder / f"{certificate}.key"), str(folder / f"{certificate}.pem"), "+py", "-ic"]


@pytest.mark.parametrize(
    ("certificate", "calling", "reason"),
    [("PEER", "PEER", None), ("BAD_IP", "PEER", "certificate_not_bound"), ("BAD_IP", "BAD_IP", "source_not_allowed")],
)
def test_a_certificate_opens_for_the_modality_that_it_names(
    certificate: str, calling: str, reason: str | None, tls: Gateway
) -> None:
    mark = tls.mark()
    result = dcmtk.echoscu(port_of(tls.config), show(certificate, tls), calling=calling, called="ORTHANC")
    record = tls.wait_for_record(since=mark)
    if reason is None:
        assert result.code == 0, result.text
        assert record["decision"] == "accepted"
    else:
        assert dcmtk.CALLING_UNKNOWN in result.text, result.text
        assert (record["decision"], record["reason"]) == ("refused", reason)


def test_a_stranger_has_no_handshake(tls: Gateway) -> None:
    mark = tls.mark()
    assert dcmtk.echoscu(port_of(tls.config), show("STRANGER", tls), calling="PEER", called="ORTHANC").code != 0
    assert tls.wait_for_record(since=mark)["reason"] == "client_certificate_untrusted"
