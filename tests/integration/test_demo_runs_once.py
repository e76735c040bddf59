"""`dicomgate demo --once` shows every step, ends with exit code 0 and leaves no process."""

import socket
import sys
from pathlib import Path

from tests.support.gateway import REPOSITORY
from tests.support.ports import free_port
from tests.support.processes import Child, clean_environment

SHOWN = (
    "yes: NORTHPACS answers",
    "C-STORE of site/ct.dcm: status 0000H, stored as site/SOUTHPACS/",
    "C-FIND for PatientID DEMO-1: 1 study",
    "no: A-ASSOCIATE-RJ 1/1/3 (calling AE title not recognized)",
    "decision refused, reason calling_aet_unknown",
    "refused: calling_aet_unknown",
    'dicomgate_association_refusals_total{reason="calling_aet_unknown",tenant="north"} 1.0',
)


def run(folder: Path, *arguments: str) -> tuple[int, Child]:
    environment = clean_environment({"PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "default"})
    child = Child([sys.executable, "-m", "proxy.cli", *arguments], cwd=folder, env=environment)
    child.process.wait(60)
    return child.end(), child


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of the processes whose working directory is `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # ended meanwhile
    return found


def test_demo_runs_once(tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    code, child = run(folder, "demo", "--once", "--dir", "site", "--port", str(free_port()))
    assert code == 0, child.text
    output = "\n".join(child.output)
    for text in SHOWN:
        assert text in output, f"{text!r} is not in\n{child.text}"
    assert child.errors == []
    assert processes_of(folder) == []

    code, child = run(folder, "check", "--strict", "--config", "site/config.yaml")
    assert code == 0, child.text

    authority = (folder / "site/pki/ca.pem").read_bytes()
    code, child = run(folder, "demo", "--once", "--dir", "site", "--port", str(free_port()))
    assert code == 0, child.text
    assert (folder / "site/pki/ca.pem").read_bytes() == authority, "the PKI is made once"


def test_a_taken_port_is_reported_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, child = run(tmp_path, "demo", "--once", "--dir", "site", "--port", str(taken.getsockname()[1]))
    assert code == 2
    assert "is taken; choose another: dicomgate demo --port N" in child.text
    assert not (tmp_path / "site").exists()
