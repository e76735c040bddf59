"""Three Orthancs, one of them a standby: killed under load, hanging and coming back, while senders go on storing.

No association on a living server is lost, and each instance whose sender got status 0000H is there.

Row 108 of docs/robustness.md.
"""

import datetime
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support import dcmtk
from tests.support.client import associate, client_context, connect, echo, release
from tests.support.dicomfiles import data_set_of, write_series
from tests.support.gateway import Gateway, Record
from tests.support.orthanc import Orthanc, orthanc
from tests.support.pools import at, checks, echo_check, pool, server_status, stopped
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.soak import scaled
from tests.support.steering import ask
from tests.support.wire import Wire

pytestmark = [pytest.mark.peers, pytest.mark.slow]

SENDERS, BATCH, SIZE = 4, 3, 64 * 1024
ROUNDS = scaled(1, 20)
FLOW = scaled(6, 40)  # associations that come to their end between two events
ACCEPT, SLACK = 3.0, 2.0  # seconds: upstream_accept; and what a busy machine adds
CHECK = echo_check(interval="300ms", timeout="1s")
TIMEOUTS = {"upstream_accept": f"{ACCEPT:.0f}s", "upstream_connect": "1s"}
STORED = "I: Received Store Response (Success)"
REFUSED = "Reason: Temporary Congestion"


class Sender(threading.Thread):
    """Runs storescu in a loop. `told`: the SHA-256 of each instance with status 0000H, by its SOP instance UID."""

    def __init__(self, folder: Path, port: int, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.told: dict[str, str] = {}
        self.failures: list[str] = []  # the tool's output if not all was stored
        self._folder, self._port, self._over = folder, port, over

    def run(self) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            folder = self._folder / str(number)
            digests = write_series(folder, BATCH, SIZE)
            files = sorted(folder.iterdir())
            said = dcmtk.storescu(self._port, files, dcmtk.tls())
            stored = [part for part in said.text.split("I: Sending file: ")[1:] if STORED in part]
            for part in stored:
                uid, _ = data_set_of(Path(part.splitlines()[0]).read_bytes())
                self.told[uid] = digests[uid]
            if said.code or len(stored) < BATCH:
                self.failures.append(said.text)
            for file in files:
                file.unlink()


class Bed:
    """The gateway, its servers and its senders."""

    def __init__(self, gateway: Gateway, servers: list[Orthanc], folder: Path) -> None:
        self.gateway = gateway
        self.servers = servers
        self._over = threading.Event()
        port = port_of(gateway.config)
        self.senders = [Sender(folder / f"sender{number}", port, self._over) for number in range(SENDERS)]
        for sender in self.senders:
            sender.start()

    def end(self) -> None:
        self._over.set()
        for sender in self.senders:
            sender.join()

    def flow(self) -> None:
        """Associations go on coming to a good end."""
        since = len(self.released())
        until(lambda: len(self.released()) >= since + FLOW, "instances flow", 60)

    def released(self) -> list[Record]:
        return [record for record in self.gateway.records if record.get("ended") == "released"]

    def told(self, event: str, server: Orthanc, since: int) -> float:
        """The time at which a check reported that a server went down or came back, in seconds since 1970."""
        line = self.gateway.wait_for_event(event, since=since, check="echo", server=f"127.0.0.1:{server.port}")
        return seconds(line["ts"])

    def associate_with(self, server: Orthanc) -> Wire:
        """An association that stays, with a server that takes associations."""
        label = f"127.0.0.1:{server.port}"

        def found() -> Wire | None:
            title = f"STAYS{server.port}"
            wire = associate(connect(port_of(self.gateway.config), client_context()), calling=title)
            open_now = ask(self.gateway, "status")["associations"]
            if any(one["calling_aet"] == title and one["server"] == label for one in open_now):
                return wire
            release(wire)
            return None

        return until(found, "the server has its turn")

    def asked_between(self, begin: float, end: float) -> set[str]:
        """The servers of the associations that were asked for then, and accepted."""
        return {
            record["server"]
            for record in self.gateway.records
            if record["decision"] == "accepted" and begin <= seconds(record["ts"]) - record["duration_s"] <= end
        }


def seconds(stamp: str) -> float:
    return datetime.datetime.fromisoformat(stamp).timestamp()


def test_nobody_loses_what_was_accepted(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    with orthanc(tmp_path / "1") as first, orthanc(tmp_path / "2") as second, orthanc(tmp_path / "3") as standby:
        servers = [at(first.port), at(second.port), at(standby.port, backup=True)]
        config = pool(site, tmp_path, servers, CHECK, workers=4, timeouts=TIMEOUTS)
        config["upstreams"]["pacs"]["balance"] = "least_associations"
        gateway = start_gateway(config)
        until(lambda: all(checks(gateway, one.port) for one in (first, second, standby)), "all are checked")
        bed = Bed(gateway, [first, second, standby], tmp_path)
        try:
            for _ in range(ROUNDS):
                one_round(bed, first, second, standby)
        finally:
            bed.end()
        check_what_was_told(bed, first)


def one_round(bed: Bed, first: Orthanc, second: Orthanc, standby: Orthanc) -> None:
    """One server is killed, another one hangs, and both come back."""
    labels = [f"127.0.0.1:{one.port}" for one in (first, second, standby)]
    gateway, idle = bed.gateway, len(standby.instances())
    bed.flow()
    on_first, on_second = bed.associate_with(first), bed.associate_with(second)

    since = gateway.mark()
    first.kill()
    with pytest.raises((AssertionError, OSError)):  # A-ABORT, at once
        echo(on_first)
    on_first.close()
    gone = bed.told("server_down", first, since)
    bed.flow()
    echo(on_second)
    assert len(standby.instances()) == idle, "the standby takes nothing while another one lives"

    since, one_left = gateway.mark(), time.time()
    with stopped(second.child.pid):
        hung = bed.told("server_down", second, since)
        bed.flow()
        assert len(standby.instances()) > idle

        since, none_left = gateway.mark(), time.time()
        first.start()
        back = bed.told("server_up", first, since)
        bed.flow()
        since = gateway.mark()
        again = seconds(gateway.wait_for_record(since=since)["ts"])
    bed.told("server_up", second, since)
    echo(on_second, 2)  # for any length of the hang
    release(on_second)
    bed.flow()
    assert [server_status(gateway, one.port)["state"] for one in (first, second, standby)] == ["up"] * 3
    assert bed.asked_between(gone, one_left) == {labels[1]}
    assert bed.asked_between(hung, none_left) == {labels[2]}
    assert bed.asked_between(back, again) == {labels[0]}


def check_what_was_told(bed: Bed, killed: Orthanc) -> None:
    told: dict[str, str] = {}
    for sender in bed.senders:
        told |= sender.told
    assert len(told) > 5 * FLOW * ROUNDS
    with ThreadPoolExecutor() as threads:
        found = list(threads.map(lambda one: one.sha256_by_uid(data_set_of), bed.servers))
    kept: dict[str, set[str]] = {}
    for stored in found:
        for uid, digest in stored.items():
            kept.setdefault(uid, set()).add(digest)
    lost = [uid for uid, digest in told.items() if kept.get(uid) != {digest}]
    assert not lost, f"{len(lost)} of {len(told)} are lost or altered"
    records = bed.gateway.records
    broken = [record for record in records if record["decision"] == "accepted" and record["ended"] != "released"]
    assert {record["server"] for record in broken} <= {f"127.0.0.1:{killed.port}"}, broken
    refused: list[dict[str, Any]] = [record for record in records if record["decision"] == "refused"]
    assert {record["reason"] for record in refused} <= {"upstream_timeout", "upstream_unavailable"}
    assert all(record["duration_s"] < ACCEPT + SLACK for record in refused), refused
    aborted = sum(REFUSED not in text for sender in bed.senders for text in sender.failures)
    assert aborted <= len(broken), "who was accepted by a server that lives has stored all"
