"""Health checks of real PACS: one that answers or refuses the check is up, one that hangs gets no association.

Row 98 of docs/robustness.md.
"""

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from tests.support import dcmtk
from tests.support.archive import Archive
from tests.support.dicomfiles import write_ct
from tests.support.gateway import Gateway
from tests.support.orthanc import orthanc
from tests.support.pacs import Pacs
from tests.support.pools import (
    at,
    checks,
    echo_check,
    is_up,
    outcomes,
    pool,
    served_by,
    server_status,
    silent,
    status_json,
    status_text,
    stopped,
    tcp_check,
    wait_told,
)
from tests.support.ports import free_port
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.steering import reloaded

pytestmark = pytest.mark.peers

INTERVAL = 0.1  # seconds, of `echo_check`
NOBODY = {"DicomAlwaysAllowEcho": False, "DicomAlwaysAllowStore": False, "DicomAlwaysAllowFind": False}
#: Reasons of an Orthanc to refuse the check and not CT1: its options, the outcome of the check, and the detail.
REFUSALS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a stranger": ({**NOBODY, "DicomModalities": {"ct": ["CT1", "127.0.0.1", 104]}}, "rejected", "A-ASSOCIATE-RJ"),
    "another title": ({"DicomCheckCalledAet": True, "DicomAet": "MAINPACS"}, "rejected", "A-ASSOCIATE-RJ"),
    "no echo": ({"DicomAlwaysAllowEcho": False}, "aborted", "A-ABORT"),
}


@contextlib.contextmanager
def pynetdicom() -> Iterator[int]:
    """An SCP of pynetdicom that answers C-ECHO; its port."""
    entity, port = AE(ae_title="MAINPACS"), free_port()
    entity.add_supported_context(Verification)
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_ECHO, lambda event: 0)])
    try:
        yield port
    finally:
        assert server is not None
        server.shutdown()


def test_who_answers_is_up(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    """The log of the PACS shows that its association was released; Prometheus accepts the page of metrics."""
    with orthanc(tmp_path / "o", verbose=True) as pacs, dcmtk.storescp(tmp_path / "s") as scp, pynetdicom() as third:
        config = pool(site, tmp_path, [at(pacs.port), at(scp.port), at(third)], echo_check())
        gateway = start_gateway(config)
        for port, implementation in ((pacs.port, "OFFIS_DCMTK"), (scp.port, "OFFIS_DCMTK"), (third, "PYNETDICOM")):
            until(lambda port=port: checks(gateway, port) >= 4, "it is checked")
            told = server_status(gateway, port)
            assert (told["state"], told["check"]["outcome"], told["check"]["detail"]) == ("up", "ok", "it answers")
            assert told["check"]["implementation"].startswith(implementation)
            assert is_up(gateway, port)
            when = gateway.metric("upstream_health_check_timestamp_seconds", server=f"127.0.0.1:{port}")
            assert time.time() - 5 < when <= time.time()
        assert outcomes(gateway) == {"ok"}
        assert not {line["event"] for line in gateway.events} & {"server_down", "health_check_failed"}
        until(lambda: sum("Association Release" in line for line in pacs.child.errors) >= 3, "Orthanc has told of them")
        assert not [line for line in pacs.child.errors if "bort" in line]
        promtool = shutil.which("promtool", path=str(Path(sys.executable).parent)) or shutil.which("promtool")
        if promtool is not None:
            page = gateway.get("/metrics")[1]
            checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, text=True)
            assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize("case", REFUSALS)
def test_who_refuses_the_check_is_alive(
    case: str, site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    """The PACS takes instances of senders it knows, also while another server answers the check."""
    options, outcome, words = REFUSALS[case]
    write_ct(tmp_path / "image.dcm", 4096)
    with orthanc(tmp_path / "orthanc", **options) as pacs, Pacs(Archive()) as other:
        check = echo_check(called_aet="WRONG" if case == "another title" else "MAINPACS")
        gateway = start_gateway(pool(site, tmp_path, [at(pacs.port), at(other.port)], check))
        until(lambda: checks(gateway, pacs.port, result=outcome) >= 4, "it is checked")
        assert is_up(gateway, pacs.port)
        assert sum(line["event"] == "health_check_refused" for line in gateway.lines) == 1
        [text] = [line for line in status_text(gateway).splitlines() if f":{pacs.port}," in line]
        assert ", up, " in text and f"ago: alive, refuses the check: {words}" in text
        [upstream] = status_json(gateway)["upstreams"]
        told = upstream["servers"][0]
        assert (told["state"], told["check"]["outcome"]) == ("up", outcome)
        sent = dcmtk.storescu(port_of(gateway.config), tmp_path / "image.dcm", dcmtk.tls())
        assert sent.code == 0, sent.text
        assert len(pacs.instances()) == 1


def test_an_orthanc_that_hangs_gets_nobody_until_it_answers_again(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    with orthanc(tmp_path / "one") as one, orthanc(tmp_path / "two") as two:
        check = echo_check(timeout="500ms")
        gateway = start_gateway(pool(site, tmp_path, [at(one.port), at(two.port)], check, workers=4))
        until(lambda: checks(gateway, one.port, result="ok") >= 2, "it is checked")
        assert served_by(gateway) == one.port
        since = gateway.mark()
        with stopped(one.child.pid):
            told = wait_told(gateway, "server_down", one.port, since)
            assert (told["check"], told["message"]) == ("echo", "no answer within 0.5 s (associate)")
            assert checks(gateway, one.port, result="timeout") >= 2
            began = time.monotonic()
            assert [served_by(gateway) for _ in range(8)] == [two.port] * 8
            assert time.monotonic() - began < 2
            assert server_status(gateway, one.port)["state"] == "down" and not is_up(gateway, one.port)
            assert f"127.0.0.1:{one.port}, down, no associations; echo check" in status_text(gateway)
        wait_told(gateway, "server_up", one.port, since)
        assert served_by(gateway) == one.port
        assert is_up(gateway, one.port)


def test_who_never_accepts_and_who_never_answers_are_down(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    """By an echo; to a check by TCP both are alive."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0), backlog=1000)) as mute:
        never_accepts = mute.getsockname()[1]
        with Pacs(silent) as deaf, Pacs(Archive()) as good:
            servers = [at(never_accepts), at(deaf.port), at(good.port)]
            config = pool(site, tmp_path, servers, echo_check(timeout="300ms"))
            config["upstreams"]["tcp"] = {"servers": servers, "health_check": tcp_check()}
            gateway = start_gateway(config)
            for port in (never_accepts, deaf.port):
                wait_told(gateway, "server_down", port)
            until(lambda: served_by(gateway) == good.port, "it is asked")
            until(lambda: checks(gateway, upstream="tcp", result="ok") >= 9, "all are checked by TCP too")
            assert outcomes(gateway, upstream="tcp") == {"ok"}
            assert gateway.metric("upstream_up", upstream="tcp") == 3


def test_a_tcp_check_sees_who_is_gone(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    with Pacs(Archive()) as spare:
        first = Pacs(Archive())
        with first:
            gateway = start_gateway(pool(site, tmp_path, [at(first.port), at(spare.port)], tcp_check()))
            until(lambda: checks(gateway, first.port, result="ok") >= 2, "it is checked")
            assert served_by(gateway) == first.port
        told = wait_told(gateway, "server_down", first.port)
        assert told["message"] == f"127.0.0.1:{first.port}: Connection refused (connect)"
        assert served_by(gateway) == spare.port


def test_four_workers_make_no_more_checks_than_one(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    with Pacs(Archive()) as pacs:
        began = time.monotonic()
        gateway = start_gateway(pool(site, tmp_path, [at(pacs.port)], echo_check(), workers=4))
        until(lambda: pacs.dials >= 15, "it is checked")
        assert pacs.dials <= 1 + (time.monotonic() - began) / INTERVAL
        assert {visit.ended for visit in pacs.visits[:-1]} == {"release"}
        assert gateway.metric("workers", state="running") == 4


def test_a_reload_leaves_the_checks_alone(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    """Unchanged servers are not checked again at once and stay down; new ones are checked at once."""
    with Pacs(Archive()) as pacs, Pacs(Archive()) as new:
        gone, check = free_port(), echo_check(interval="10m")
        config = pool(site, tmp_path, [at(gone), at(pacs.port)], check)
        gateway = start_gateway(config)
        wait_told(gateway, "server_down", gone)
        until(lambda: checks(gateway, pacs.port) == 1, "it is checked")
        config["limits"] = {"connections": 4000}  # lines move, too
        config["upstreams"]["pacs"]["servers"].append(at(new.port))
        reloaded(gateway, config)
        until(lambda: checks(gateway, new.port) == 1, "the new one is checked")
        assert (checks(gateway, pacs.port), pacs.dials) == (1, 1)
        assert server_status(gateway, gone)["state"] == "down"
        assert served_by(gateway) == pacs.port
        config["upstreams"]["pacs"]["health_check"] = {**check, "fall": 3}
        reloaded(gateway, config)
        until(lambda: checks(gateway) == 6, "all are checked by what is said now")
        config["upstreams"]["pacs"]["health_check"] = None
        reloaded(gateway, config)
        assert server_status(gateway, gone)["state"] == "up" and server_status(gateway, gone)["check"] is None
        assert gateway.metric("upstream_health_check_timestamp_seconds") == 0
