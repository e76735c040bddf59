"""What the gateway costs: CPU per GiB in each direction, CPU per association, memory per association.

`make bench` prints a table and writes bench-result.json. Sender and receiver are Python in this process, on the same
machine; only the gateway's own CPU time and memory are counted, so they may be slow without spoiling the figures.
Each CPU figure is the median of RUNS runs.
"""

import json
import os
import platform
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from proxy.pdu import encode_p_data
from tests.support.client import associate, client_context, connect, release
from tests.support.flood import Reader, Sender
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, Visit, mirror
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.wire import Wire

GIB = 1024**3
RUNS = 3
#: As storescu sends: PDUs of 16 KiB, 32 of them an instance of 512 KiB.
INSTANCE = encode_p_data(3, 0, os.urandom(16_372)) * 32
TRANSFER = GIB // len(INSTANCE) * len(INSTANCE)
SET_UPS = 500
IDLE = 500
USED, CARRIED = 50, 16 * 1024 * 1024
LIMITS = {"connections_per_address": 4000, "handshakes_per_address": 4000}


def pour(wire: Wire) -> None:
    """Send TRANSFER bytes."""
    for _ in range(TRANSFER // len(INSTANCE)):
        wire.send(INSTANCE)


def drink(wire: Wire) -> None:
    """Read TRANSFER bytes."""
    left = TRANSFER
    while left:
        data = wire.receive(min(256 * 1024, left))
        assert data, "the stream has ended early"
        left -= len(data)


def cpu_per_gib(site: Site, here: Callable[[Wire], None], there: Callable[[Wire], None]) -> dict[str, float]:
    """One transfer per run; the association is up before the clock starts."""

    def serve(visit: Visit) -> None:
        visit.accept()
        there(visit.wire)
        visit.until_end(keep=False)

    costs, speeds = [], []
    with Pacs(serve) as pacs:
        gateway = Gateway(site.folder / "transfer", site.one_tenant(pacs.port))
        for _ in range(RUNS):
            with associate(connect(port_of(gateway.config), client_context())) as wire:
                cpu, clock = gateway.child.cpu_seconds(), time.monotonic()
                here(wire)
                seen = gateway.mark()
                release(wire) if here is pour else wire.close()
                gateway.wait_for_record(since=seen)
                costs.append((gateway.child.cpu_seconds() - cpu) * GIB / TRANSFER)
                speeds.append(TRANSFER / (time.monotonic() - clock) / 1024**2)
        gateway.stop()
    return {"cpu_s_per_gib": statistics.median(costs), "mib_per_s": statistics.median(speeds)}


def set_up(site: Site) -> dict[str, float]:
    """Connection, full TLS 1.3 handshake with ECDSA P-256, request, dial, accept, release: CPU per association."""
    costs = []
    with Pacs(mirror) as pacs:
        gateway = Gateway(site.folder / "set-up", site.one_tenant(pacs.port))
        context = client_context()
        for _ in range(RUNS):
            cpu = gateway.child.cpu_seconds()
            for _ in range(SET_UPS):
                release(associate(connect(port_of(gateway.config), context)))
            until(lambda: gateway.metric("connections_active") == 0, "all connections are closed")
            costs.append((gateway.child.cpu_seconds() - cpu) / SET_UPS * 1e6)
        gateway.stop()
    return {"cpu_us_per_association": statistics.median(costs)}


def carry(wire: Wire, number: int) -> None:
    sender, reader = Sender(wire, CARRIED, salt=number), Reader(wire, CARRIED)
    sender.start()
    reader.start()
    sender.join()
    reader.join()
    assert sender.digest == reader.digest


def memory(site: Site) -> dict[str, float]:
    """RSS per open association: idle from the start, and idle again behind CARRIED bytes each way."""
    figures = {}
    for name, count, used in (("idle_kib", IDLE, False), ("idle_after_16_mib_kib", USED, True)):
        with Pacs(mirror) as pacs:
            gateway = Gateway(site.folder / name, site.one_tenant(pacs.port, limits=LIMITS))
            context = client_context()
            carry(associate(connect(port_of(gateway.config), context)), 0)  # what is loaded once is the process's own
            before = gateway.rss_kib()
            wires = [associate(connect(port_of(gateway.config), context)) for _ in range(count)]
            for number, wire in enumerate(wires):
                if used:
                    carry(wire, number)
            figures[name] = (gateway.rss_kib() - before) / count
            for wire in wires:
                wire.close()
            gateway.stop()
    return figures


def main() -> int:
    """Measure, print, write."""
    threading.stack_size(256 * 1024)  # five hundred visits have a thread each
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        figures = {
            "C-STORE direction (TLS in, plain out)": cpu_per_gib(site, pour, drink),
            "C-GET direction (plain in, TLS out)": cpu_per_gib(site, drink, pour),
            "association set-up": set_up(site),
            "memory of an association": memory(site),
        }
    rows = [(what, name, value) for what, values in figures.items() for name, value in values.items()]
    for what, name, value in rows:
        print(f"{what:40} {name:26} {value:10.2f}")
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}"
    versions = f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}"
    print(f"{machine}; {versions}")
    result = {"machine": machine, "versions": versions, "runs": RUNS, "figures": figures}
    Path("bench-result.json").write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
