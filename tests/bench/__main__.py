"""The cost of the gateway beside nginx, HAProxy and stunnel: `make bench`, or `make bench QUICK=1`.

All of them terminate the same TLS (1.3, one certificate, one cipher) in front of the same fake PACS, under the same
load, in turn, with one worker each; the gateway with policy, P-DATA scanner, metrics and access log, the others as
Debian ships them and without a log. The figures are the medians of the runs, and marked where these differ by more than
a quarter. Only CPU time and memory of the proxy under measure are counted, those of all its processes; load generator
and PACS share the machine with it, so wall time and latency are theirs too.
"""

import argparse
import json
import os
import platform
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy import __version__
from tests.bench import report
from tests.bench.measure import Bench
from tests.bench.targets import installed

RESULT = Path("bench-result.json")


@dataclass(frozen=True)
class Size:
    """The amount of work. The kinds are the same in both sizes; a quick run does less of each."""

    runs: int
    instances: int  # of 512 KiB for each run; 1,024 are half a GiB
    small: int
    associations: int
    idle_runs: int
    used: int  # associations that carry 16 MiB each way
    fair_seconds: float
    rounds: int


FULL = Size(5, 1024, 20_000, 1000, 5, 1000, 5, 50)
QUICK = Size(5, 256, 2000, 150, 1, 32, 1.5, 10)


def rows(bench: Bench, size: Size) -> Iterator[list[report.Row]]:
    """The issue's table, row by row."""
    some, eighth = size.instances, size.instances // 8
    with bench.running() as targets:
        for work, called, associations, bound in (
            ("C-STORE 512 KiB, PDU 16 KiB, 1 association", "STORE", 1, 0.85),
            ("C-STORE 512 KiB, PDU 16 KiB, 8 associations", "STORE", 8, 0.85),
            ("C-STORE 512 KiB, PDU 128 KiB, 1 association", "STORE128", 1, 0.80),
            ("C-GET 512 KiB, PDU 16 KiB, 1 association", "GET", 1, 0.85),
        ):
            each = some if associations == 1 else eighth
            yield report.transfer(work, bench.transfer(targets, work, called, associations, each), bound)
        work = "C-STORE 4 KiB, an instance"
        yield report.small(work, bench.transfer(targets, work, "STORE4K", 1, size.small))
        work = "set-up and release, ECDSA P-256"
        yield report.set_up(work, bench.set_up(targets, work, size.associations), 1.50)
    with bench.running(only=("dicomgate", "nginx", "haproxy"), tls_out=True) as targets:
        for work, called in (("TLS in and out: C-STORE 512 KiB, 1 association", "STORE"), ("  the same, C-GET", "GET")):
            yield report.transfer(work, bench.transfer(targets, work, called, 1, some), 0.90)
        # Without a goal: the others resume sessions with the PACS, the gateway verifies its certificate each time.
        work = "TLS in and out: set-up and release, ECDSA P-256"
        yield report.set_up(work, bench.set_up(targets, work, size.associations), None)
    with bench.running(kind="rsa2048") as targets:
        work = "set-up and release, RSA-2048"
        yield report.set_up(work, bench.set_up(targets, work, size.associations), 1.25)
    work = "idle association, 1,000 open"
    yield report.idle(work, bench.memory(work, "STORE", 1000, size.idle_runs))
    work = f"the same behind 16 MiB each way, {size.used:,} open"
    yield report.used(work, bench.memory(work, "BOTH", size.used, 1))
    work = "2 workers to 1, 8 senders: throughput"
    yield report.gain(work, bench.gain(work, eighth, ("dicomgate", "nginx", "haproxy")))
    with bench.running() as targets:
        work = "C-ECHO on fresh TLS beside 16 bulk senders, p99"
        yield report.fairness(work, bench.fairness(targets, work, 16, size.fair_seconds))
    work = f"8 senders on 2 workers: the most on one, {size.rounds}x"
    yield report.balance(work, bench.balance(work, size.rounds))


def main() -> int:
    """Measure, print, write. The exit code is 0 even if a goal is missed."""
    arguments = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--quick", action="store_true", help="less of everything: under three minutes")
    quick: bool = arguments.parse_args().quick
    began = time.monotonic()
    peers = installed()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # end the started processes, as after ^C

    versions = {
        "dicomgate": __version__,
        "commit": _commit(),
        "Python": platform.python_version(),
        "OpenSSL of Python": ssl.OPENSSL_VERSION,
        **{start.__name__: version for start, version in peers.items()},
    }
    machine = f"{_processor()}, {len(os.sched_getaffinity(0))} CPUs, Linux {platform.release()}"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # nginx's worker has a user of its own
        bench = Bench(Path(folder), list(peers), (QUICK if quick else FULL).runs)
        table: list[report.Row] = []
        print(report.head(), flush=True)
        try:
            for found in rows(bench, QUICK if quick else FULL):
                table += found
                print(*(row.line() for row in found), sep="\n", flush=True)
        finally:
            bench.close()
    ciphers = sorted(
        {run["cipher"] for runs in bench.raw.values() for one in runs.values() for run in one if "cipher" in run}
    )
    assert len(ciphers) == 1, f"not everybody was measured with the same cipher: {ciphers}"
    if any(row.noisy for row in table):
        print(report.NOTE)
    load = f"{os.getloadavg()[2]:.1f}"
    print(f"{machine}, load average {load}; {ciphers[0]}")
    print(", ".join(f"{name} {what}" for name, what in versions.items()))
    RESULT.write_text(
        json.dumps(
            {
                "command": "make bench" + (" QUICK=1" if quick else ""),
                "seconds": round(time.monotonic() - began),
                "machine": machine,
                "load_average_15_min": load,
                "versions": versions,
                "cipher": ciphers[0],
                "rows": [row.to_dict() for row in table],
                "runs": bench.raw,
            },
            indent=1,
        )
        + "\n"
    )
    return 0


def _commit() -> str:
    found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
