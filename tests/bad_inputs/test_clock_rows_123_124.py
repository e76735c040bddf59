"""Rows 123 and 124: a wall clock that jumps, and the gateway's own certificate when it expires.

The clock of the gateway's own code is moved; the kernel's, by which OpenSSL verifies, cannot be for one process.
"""

import datetime
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.pdu import PduType
from tests.bad_inputs.clock import Clock
from tests.support import certs
from tests.support.archive import Archive
from tests.support.attempts import echo_once
from tests.support.client import associate, client_context, connect, echo, release, request
from tests.support.configs import write_pair
from tests.support.gateway import Gateway, soon
from tests.support.pacs import Pacs, Visit
from tests.support.processes import PATIENCE, until
from tests.support.site import HOST, Site, port_of
from tests.support.steering import ask, kill, reload, reloaded, wait_serving, workers, write_to

HOUR, DAY = 3600.0, 86400.0
TICKS = 2.2  # seconds in which everything that looks at a clock has looked twice
#: To a time since 1970, or by so many seconds; the last one is what a leap second does.
JUMPS = {
    "an hour ahead": HOUR,
    "an hour back": -HOUR,
    "to 1970": 0.0 - time.time(),
    "to 2038": 2.0**31 + 5 - time.time(),
    "to 2106": 2.0**32 + 5 - time.time(),
    "a leap second": -1.0,
}


class Slow(Archive):
    """A PACS that keeps associations of SLOW waiting until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = False

    def __call__(self, visit: Visit) -> None:
        visit.request = visit.wire.receive_pdu()
        if b"SLOW" in visit.request[26:42]:
            until(lambda: self.go_on, "it is told to go on")
        super().__call__(visit)


@pytest.mark.parametrize("jump", JUMPS)
def test_row_123_the_clock_jumps(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway], jump: str) -> None:
    """Associations stay in any stage, no new one is refused, no worker is taken for dead, and durations stay right."""
    clock, archive = Clock(tmp_path / "clock"), Slow()
    with Pacs(archive) as pacs:
        timeouts = {"client_hello": "15s", "artim": "15s", "upstream_accept": "15s", "idle": "30s"}
        config = site.one_tenant(pacs.port, workers=2, control=str(tmp_path / "control.sock"), timeouts=timeouts)
        gateway = start_gateway(config, launcher=clock.launcher)
        port, context = port_of(config), client_context()
        running = workers(gateway)
        fresh = connect(port)  # no ClientHello yet
        secured = connect(port, context)  # no request yet
        waiting = connect(port, context)  # for the PACS
        waiting.send(request(calling="SLOW"))
        open = associate(connect(port, context), calling="OPEN")
        lost = associate(connect(port, context), calling="LOST")
        pacs.visit(2)
        clock.jump(JUMPS[jump])
        time.sleep(TICKS)
        echo_once(port, context)
        archive.go_on = True
        assert waiting.receive_pdu()[:1] == bytes([PduType.A_ASSOCIATE_AC])
        fresh.start_tls(context)
        for wire in (fresh, secured):
            associate(wire)
        for wire in (fresh, secured, waiting, open):
            echo(wire)
            release(wire)
        assert workers(gateway) == running
        assert gateway.get("/readyz")[0] == 200
        if abs(JUMPS[jump]) <= HOUR:
            reloaded(gateway)
        holder = next(r["worker"] for r in ask(gateway, "status")["associations"] if r["calling_aet"] == "LOST")
        kill(holder)
        record = gateway.wait_for_record(lambda record: record["calling_aet"] == "LOST")
        assert record["ended"] == "worker_lost"
        assert lost.receive_all() == b""
        lost.close()
        for record in gateway.records:
            assert 0 <= record["duration_s"] < 20, record
        year = datetime.datetime.fromtimestamp(time.time() + JUMPS[jump], datetime.UTC).year
        assert gateway.records[-1]["ts"].startswith(str(year))


def test_row_123_certificates_go_by_the_wall_clock(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    """A certificate expired by the new clock is refused; open associations go on; with the old clock it passes."""
    clock = Clock(tmp_path / "clock")
    with Pacs(Archive()) as pacs:
        auth = {"mode": "required", "ca": str(site.path("ca.pem"))}
        config = site.one_tenant(pacs.port, tls={"client_auth": auth})
        gateway = start_gateway(config, launcher=clock.launcher)
        port, context = port_of(config), client_context(certificate=(site.path("ct1.pem"), site.path("ct1.key")))
        open = associate(connect(port, context))
        clock.jump(40 * DAY)
        with connect(port, context) as wire:
            wire.send(request())
            assert wire.receive_pdu()[:1] == bytes([PduType.A_ASSOCIATE_RJ])
        assert gateway.wait_for_record()["reason"] == "client_certificate_expired"
        clock.jump(0)
        echo_once(port, context)
        echo(open)
        release(open)


@pytest.mark.slow
def test_row_124_told_30_7_and_1_days_before(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    """Each warning comes once, and one at the end; the gauge shows the time left throughout."""
    end = certs.now() + 60 * certs.DAY
    write_pair(site.folder, server_until(site, end), "gate")
    clock = Clock(tmp_path / "clock")
    with Pacs(Archive()) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port), launcher=clock.launcher)

        def told() -> list[tuple[str, float | None]]:
            return [(e["event"], e.get("days_left")) for e in gateway.events if e["event"].startswith("certif")]

        for days, lines in {35: 0, 29: 1, 20: 1, 6.5: 2, 3: 2, 0.5: 3, -0.5: 4}.items():
            clock.set(end.timestamp() - days * DAY)
            time.sleep(TICKS)
            until(lambda lines=lines: len(told()) >= lines, f"what is told {days} days before")
            assert len(told()) == lines
        expires = "certificate_expires"
        assert told() == [(expires, 29.0), (expires, 6.5), (expires, 0.5), ("certificate_expired", None)]
        assert gateway.metric("tls_certificate_not_after_timestamp_seconds", use="server") == end.timestamp()
        echo_once(port_of(gateway.config), client_context())


def test_row_124_it_ends_while_the_gateway_runs(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    """Senders decide whether to accept an expired certificate. Workers are still replaced; a reload names the fault."""
    with Pacs(Archive()) as pacs:
        config = site.one_tenant(pacs.port, workers=1, control=str(tmp_path / "control.sock"))
        write_pair(site.folder, server_until(site, soon(tmp_path / "first", config)), "gate")
        gateway = start_gateway(config)
        port = port_of(config)
        open = associate(connect(port, client_context(site.path("ca.pem")), HOST))
        expired = gateway.wait_for_event("certificate_expired", 6 * PATIENCE)
        assert (expired["use"], expired["level"]) == ("server", "error")
        echo(open)
        with pytest.raises(OSError, match="expired"):
            connect(port, client_context(site.path("ca.pem")), HOST)
        echo_once(port, client_context())  # it does not check the certificate
        answer = reload(gateway)
        assert not answer["ok"] and "gate.pem" in answer["message"] and "expired" in answer["message"]
        echo(open)
        release(open)
        kill(workers(gateway)[0])
        wait_serving(gateway, 1)
        echo_once(port, client_context())
        write_pair(site.folder, certs.server(HOST, site.root), "gate")
        write_to(gateway.path, config)
        reloaded(gateway)
        with connect(port, client_context(site.path("ca.pem")), HOST) as wire:
            echo(associate(wire))
            release(wire)


def server_until(site: Site, end: datetime.datetime) -> certs.Issued:
    valid = (certs.now() - certs.DAY, end)
    return certs.leaf(HOST, site.root, eku=(certs.SERVER,), dns=(HOST,), valid=valid)
