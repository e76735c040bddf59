"""Orthanc's issue 52, replayed: associations that Orthanc accepted, or dropped silently, are rejected and explained.

Behind the gateway stands a real Orthanc that would take everything.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import dcmtk
from tests.support.dicomfiles import write_ct
from tests.support.gateway import REPOSITORY, Gateway
from tests.support.orthanc import Orthanc, orthanc
from tests.support.processes import Child, clean_environment
from tests.support.site import Site, port_of

pytestmark = pytest.mark.peers

PEERS = [
    {"aet": "PEER", "from": ["127.0.0.1"], "allow": ["all"]},
    {"aet": "BAD_IP", "from": ["1.1.1.1"], "allow": ["all"]},
]
#: calling, called, what the tool prints, the reason, the triple
REFUSALS = {
    "wrong called title": ("PEER", "WRONG_ORTHANC", dcmtk.CALLED_UNKNOWN, "called_aet_unknown", (1, 1, 7)),
    "unknown calling title": ("BAD_AET", "ORTHANC", dcmtk.CALLING_UNKNOWN, "calling_aet_unknown", (1, 1, 3)),
    "wrong address": ("BAD_IP", "ORTHANC", dcmtk.CALLING_UNKNOWN, "source_not_allowed", (1, 1, 3)),
}


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture
def gateway(pacs: Orthanc, site: Site, start_gateway: Callable[..., Gateway]) -> Gateway:
    return start_gateway(site.one_tenant(pacs.port, called_aets=["ORTHANC"], peers=PEERS))


def send(tool: str, gateway: Gateway, folder: Path, calling: str, called: str) -> dcmtk.Result:
    port, options = port_of(gateway.config), dcmtk.tls()
    if tool == "storescu":
        write_ct(folder / "image.dcm", 4096)
        return dcmtk.storescu(port, folder / "image.dcm", options, calling=calling, called=called)
    return {"echoscu": dcmtk.echoscu, "findscu": dcmtk.findscu}[tool](port, options, calling=calling, called=called)


@pytest.mark.parametrize("tool", ["echoscu", "findscu", "storescu"])
@pytest.mark.parametrize("case", REFUSALS)
def test_the_refusal_says_why(tool: str, case: str, gateway: Gateway, pacs: Orthanc, tmp_path: Path) -> None:
    calling, called, words, reason, triple = REFUSALS[case]
    before = pacs.instances()
    result = send(tool, gateway, tmp_path, calling, called)
    assert result.code != 0
    assert dcmtk.PERMANENT in result.text and words in result.text, result.text
    record = gateway.wait_for_record()
    assert (record["decision"], record["reason"]) == ("refused", reason)
    assert tuple(record["rj"].values()) == triple
    assert (record["calling_aet"], record["called_aet"]) == (calling, called)
    assert "upstream_setup_s" not in record  # Orthanc was not dialled
    assert gateway.metric("association_refusals_total", reason=reason) == 1
    assert pacs.instances() == before


@pytest.mark.parametrize("tool", ["echoscu", "findscu", "storescu"])
def test_the_listed_peer_passes(tool: str, gateway: Gateway, pacs: Orthanc, tmp_path: Path) -> None:
    before = len(pacs.instances())
    result = send(tool, gateway, tmp_path, "PEER", "ORTHANC")
    assert result.code == 0, result.text
    record = gateway.wait_for_record()
    assert (record["decision"], record["ended"], record["peer"]) == ("accepted", "released", "PEER")
    assert len(pacs.instances()) - before == (tool == "storescu")


@pytest.mark.parametrize("case", REFUSALS)
def test_explain_says_the_same(case: str, gateway: Gateway) -> None:
    calling, called, _, reason, triple = REFUSALS[case]
    options = ["--config", gateway.path, "--from", "127.0.0.1", "--calling", calling, "--called", called]
    explain = Child(
        [sys.executable, "-m", "proxy.cli", "explain", *options, "--format", "json"],
        env=clean_environment({"PYTHONPATH": str(REPOSITORY)}),
    )
    explain.process.wait(20)
    assert explain.end() == 1, explain.text
    answer = json.loads("\n".join(explain.output))
    assert answer["reason"] == reason
    assert "A-ASSOCIATE-RJ {}/{}/{}".format(*triple) in json.dumps(answer), answer
