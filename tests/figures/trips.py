"""The files of `proxy` that the usual trips enter, recorded in the processes of a real gateway.

The recorder knows three things of the code: `load` of `config/load.py` loads a configuration, a refusal begins in a
function `judge`, and the A-ASSOCIATE-AC is the last `send` on a TCP socket before the requestor has it. So it traces an
old commit as well. Caches are warm, and the run with the fewest calls counts: timers that expire during a trip (once a
second) and requests that arrive in pieces only add calls.
"""

import contextlib
import itertools
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from proxy.pdu import PduType, encode_p_data
from tests.support.client import COMMAND, LAST, client_context, connect, request
from tests.support.gateway import Gateway
from tests.support.messages import command
from tests.support.pacs import Pacs, pacs, sink
from tests.support.pdus import CT_IMAGE_STORAGE, EXPLICIT_LE
from tests.support.ports import free_port
from tests.support.processes import until
from tests.support.site import HOST, Site
from tests.support.wire import Wire

_HOOK = Path(__file__).parent / "hook"
_WARM, _RUNS, _RELOADS = 15, 60, 5
_LOAD = "config/load.py load"
_QUIET = 0.1  # seconds without a call: the trip has ended
_CHUNK = 16_372  # bytes of a data set that fill one TLS record together with the headers of PDU and PDV

#: Twenty lines, as many as a small site needs.
_CONFIGURATION = """\
version: 1
control: null
workers: 1
admin:
  listen: 127.0.0.1:{admin}
listeners:
  dicom-tls:
    bind: ["127.0.0.1:{port}"]
    tls:
      certificates: [{{chain: {site}/gate.pem, key: {{file: {site}/gate.key}}}}]
      client_auth: {{mode: required, ca: {{site: {site}/ca.pem}}}}
timeouts:
  artim: 10s
tenants:
  hospital:
    called_aets: [MAINPACS]
    upstream: pacs
    peers: [{{aet: CT1, allow: [echo, store]}}]
upstreams:
  pacs: {{servers: [{{address: "127.0.0.1:{pacs}"}}]}}
"""


@dataclass(frozen=True)
class Event:
    """One line of the recorder: `kind` is call, return or socket; `what` is a file and a function, or a method."""

    at: float
    thread: str
    kind: str
    what: str

    @property
    def room(self) -> str:
        return self.what.partition(" ")[0]


@dataclass(frozen=True)
class Trip:
    """One trip. A stay is a run of calls in one file; a climb leads into a folder of a higher layer."""

    calls: int
    rooms: int
    folders: int
    stays: int
    returns: int
    climbs: int


def measure(checkout: Path, layers: Sequence[str]) -> dict[str, Trip]:
    """Run the gateway of a checkout and make all trips."""
    with tempfile.TemporaryDirectory(prefix="figures") as name, pacs(sink) as upstream:
        return {
            trip: min((summarise(run, layers) for run in runs), key=lambda found: found.calls)
            for trip, runs in _Journey(checkout, Path(name), upstream).runs().items()
        }


def summarise(events: Sequence[Event], layers: Sequence[str]) -> Trip:
    """Count the calls of a trip and the files that they lead through."""
    rooms = [event.room for event in events if event.kind == "call"]
    stays = [room for room, _ in itertools.groupby(rooms)]
    floors = [layers.index(folder) if (folder := room.partition("/")[0]) in layers else -1 for room in stays]
    return Trip(
        calls=len(rooms),
        rooms=len(set(stays)),
        folders=len(set(floors)),
        stays=len(stays),
        returns=len(stays) - len(set(stays)),
        climbs=sum(here > before for before, here in itertools.pairwise(floors)),
    )


class _Journey:
    """A gateway under the recorder, and what is done to it."""

    def __init__(self, checkout: Path, folder: Path, upstream: Pacs) -> None:
        self._checkout, self._folder, self._upstream = checkout, folder, upstream
        self._port = free_port()
        site = Site(folder / "site")
        self._tls = client_context(certificate=(site.path("ct1.pem"), site.path("ct1.key")))
        self._configuration = _CONFIGURATION.format(
            admin=free_port(), port=self._port, site=site.folder, pacs=upstream.port
        )

    def runs(self) -> dict[str, list[list[Event]]]:
        """Trip -> the events of each of its runs."""
        calls = self._folder / "calls"
        calls.mkdir()
        variables = {
            "PYTHONPATH": f"{_HOOK}{os.pathsep}{self._checkout}",
            "DICOMGATE_CALLS": str(calls),
            "DICOMGATE_PROXY": f"{self._checkout / 'proxy'}{os.sep}",
        }
        launcher = ("env", *(f"{name}={value}" for name, value in variables.items()))
        gateway = Gateway(self._folder / "gateway", self._configuration, launcher=launcher)
        try:
            supervisor, worker = gateway.child.family()
            log = _Log(calls / f"{worker}.calls")
            for _ in range(_WARM):
                self._associate().close()
            accepted = [log.during(self._accepted) for _ in range(_RUNS)]
            chunks, commands = self._stores(log)
            refused = [log.during(lambda number=number: self._refused(number)) for number in range(_WARM + _RUNS)]
            reloads = [self._reload(gateway, _Log(calls / f"{supervisor}.calls")) for _ in range(_RELOADS)]
        finally:
            gateway.stop()
        return {
            "accept to A-ASSOCIATE-AC": [_to_the_last_send(run) for run in accepted],
            "bulk P-DATA": chunks,
            "command set": commands,
            "reload without load": [_without_load(run) for run in reloads],
            "refusal from judge": [_from("judge", run) for run in refused[_WARM:]],
            "load": [_inside(_LOAD, run) for run in reloads],
        }

    # --- what a device does ------------------------------------------------------------------------------------------

    def _associate(self, calling: str = "CT1") -> Wire:
        wire = connect(self._port, self._tls, HOST)
        wire.send(request("MAINPACS", calling, ((1, CT_IMAGE_STORAGE, (EXPLICIT_LE,)),)))
        self._answer = wire.receive_pdu()
        return wire

    def _accepted(self) -> Wire:
        wire = self._associate()
        assert self._answer[0] == PduType.A_ASSOCIATE_AC, self._answer
        return wire

    def _refused(self, number: int) -> None:
        self._associate(f"UNKNOWN{number}").close()
        assert self._answer[0] == PduType.A_ASSOCIATE_RJ, self._answer

    def _stores(self, log: "_Log") -> tuple[list[list[Event]], list[list[Event]]]:
        """C-STOREs of three PDUs: the command set, a whole TLS record of the data set, and the end of that."""
        chunks, commands = [], []
        with self._associate() as wire:
            visit = self._upstream.visits[-1]

            def send(control: int, data: bytes) -> None:
                arrived = visit.size
                wire.send(encode_p_data(1, control, data))
                until(lambda: visit.size > arrived, "the PDU is at the PACS")

            for number in range(_RUNS):
                store = command(0x0001, number + 1, data_set=True, more=((0x1000, b"1.2.3.4\0"),))
                commands.append(log.during(lambda store=store: send(COMMAND | LAST, store)))
                chunks.append(log.during(lambda: send(0, bytes(_CHUNK))))
                log.during(lambda: send(LAST, bytes(100)))
        return chunks, commands

    @staticmethod
    def _reload(gateway: Gateway, log: "_Log") -> list[Event]:
        since = gateway.mark()

        def reload() -> None:
            os.kill(gateway.pid, signal.SIGHUP)
            gateway.wait_for_event("reloaded", since=since)

        return log.during(reload, to_the_end=False)


class _Log:
    """The recorder's file of one process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def during(self, action: Callable[[], Wire | None], *, to_the_end: bool = True) -> list[Event]:
        """The events of an action; `to_the_end`: and of what follows, until the process is quiet.

        A connection that the action returns is open for so long.
        """
        start = self._size()
        with action() or contextlib.nullcontext():
            end = self._size()
            while to_the_end:
                time.sleep(_QUIET)
                to_the_end, end = end != self._size(), self._size()
        with self._path.open("rb") as file:
            file.seek(start)
            return list(_parse(file.read(end - start).decode().splitlines()))

    def _size(self) -> int:
        return self._path.stat().st_size


def _parse(lines: Sequence[str]) -> Iterator[Event]:
    for line in lines:
        at, thread, kind, what = line.split(" ", 3)
        yield Event(float(at), thread, kind, what)


def _to_the_last_send(events: list[Event]) -> list[Event]:
    sends = [index for index, event in enumerate(events) if event.kind == "socket" and event.what.startswith("send")]
    return events[: sends[-1]]


def _without_load(events: list[Event]) -> list[Event]:
    """A reload but for `load`, which is a trip of its own. The order is kept: one thread waits for the other."""
    apart = {id(event) for event in _inside(_LOAD, events)}
    return [event for event in events if id(event) not in apart]


def _from(function: str, events: list[Event]) -> list[Event]:
    return events[next(i for i, event in enumerate(events) if event.what.endswith(f" {function}")) :]


def _inside(what: str, events: list[Event]) -> list[Event]:
    """The first call of a function, with all that it calls."""
    start = next(index for index, event in enumerate(events) if event.what == what)
    depth, found = 0, []
    for event in events[start:]:
        if event.thread == events[start].thread:
            found.append(event)
            depth += {"call": 1, "return": -1}.get(event.kind, 0)
            if depth == 0:
                break
    return found
