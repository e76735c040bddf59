"""Alternating runs: every row of the table is measured at every proxy in turn, several times over."""

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.bench import instances, load, pacs
from tests.bench.targets import Start, Target, Upstream, dicomgate
from tests.support.processes import until
from tests.support.site import Site

Run = dict[str, Any]
#: The runs of one piece of work, by the name of the proxy.
Runs = dict[str, list[Run]]
_SETTLE = 0.2  # seconds in which a proxy closes what has ended and writes its log
_GIB = 1024**3
_processes = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of this process


class Loader:
    """A load generator process."""

    def __init__(self) -> None:
        self._channel, theirs = _processes.Pipe()
        self._process = _processes.Process(target=load.serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, job: str, port: int, **arguments: Any) -> Run:
        """Start a job; return its message that the associations stand."""
        self._channel.send((job, port, arguments))
        return self._next()

    def start(self) -> None:
        """Let the job work."""
        self._channel.send(None)

    def result(self) -> Run:
        """The measurements of the job."""
        return self._next()

    def end(self) -> None:
        """Let the job end its associations, and wait for that."""
        self._channel.send(None)
        self._next()

    def close(self) -> None:
        """End the process, in the midst of a job too."""
        self._process.terminate()
        self._process.join()
        self._channel.close()

    def _next(self) -> Run:
        try:
            result: Run = self._channel.recv()
        except EOFError:
            raise RuntimeError("the load generator has failed: its traceback stands above") from None
        return result


class Bench:
    """The processes around the proxies, and the work that is done at them. `raw` keeps every run."""

    def __init__(self, folder: Path, peers: Sequence[Start], runs: int) -> None:
        self.raw: dict[str, Runs] = {}
        self._folder, self._starts, self._runs = folder, [dicomgate, *peers], runs
        self._sites: dict[str, Site] = {}
        ours, theirs = _processes.Pipe()
        pair = [str(self._site("p256").path(f"gate.{kind}")) for kind in ("pem", "key")]
        self._pacs = _processes.Process(target=pacs.serve, args=(theirs, *pair), daemon=True)
        self._pacs.start()
        theirs.close()  # or a process that failed at its start would be waited for
        plain, tls = ours.recv()
        self._upstreams = {False: Upstream(plain), True: Upstream(tls, tls=True)}
        self._loader, self._second = Loader(), Loader()
        self._started = 0

    def close(self) -> None:
        """End the load generators and the fake PACS."""
        self._loader.close()
        self._second.close()
        self._pacs.terminate()
        self._pacs.join()

    def _site(self, kind: str) -> Site:
        if kind not in self._sites:
            self._sites[kind] = Site(self._folder / kind, kind)
        return self._sites[kind]

    @contextlib.contextmanager
    def running(
        self, kind: str = "p256", workers: int = 1, only: Sequence[str] = (), tls_out: bool = False
    ) -> Iterator[list[Target]]:
        """All proxies, or those of the names, freshly started, with a certificate of this kind."""
        targets: list[Target] = []
        try:
            for start in self._starts:
                if not only or start.__name__ in only:
                    self._started += 1
                    folder = self._folder / f"{self._started}-{start.__name__}"
                    folder.mkdir()
                    targets.append(start(self._site(kind), folder, self._upstreams[tls_out], workers))
            yield targets
        finally:
            for target in targets:
                target.stop()

    # --- the kinds of work --------------------------------------------------------------------------------------------

    def transfer(self, targets: list[Target], row: str, called: str, associations: int, each: int) -> Runs:
        """`each` instances on every association: CPU per GiB and per instance, wall, latencies."""
        instance = {**instances.STORE, **instances.GET}[called]
        amount = associations * each

        def run(target: Target) -> Run:
            cipher = self._loader.begin("bulk", target.port, called=called, associations=associations, each=each)
            before = target.cpu_seconds()
            self._loader.start()
            measured = self._loader.result()
            cpu = target.cpu_seconds() - before
            self._loader.end()
            gib = amount * instance.wire_size / _GIB
            return {
                **cipher,
                **measured,
                "cpu_s_per_gib": cpu / gib,
                "cpu_us_per_instance": cpu / amount * 1e6,
                "mib_per_s": gib * 1024 / measured["wall_s"],
            }

        return self._alternate(targets, row, run)

    def set_up(self, targets: list[Target], row: str, count: int) -> Runs:
        """Connection, full handshake, A-ASSOCIATE, A-RELEASE, `count` times: CPU and latency of one."""

        def run(target: Target) -> Run:
            self._loader.begin("one_by_one", target.port, called="STORE", count=count)
            time.sleep(_SETTLE)
            before = target.cpu_seconds()
            self._loader.start()
            measured = self._loader.result()
            time.sleep(_SETTLE)
            cpu = target.cpu_seconds() - before
            self._loader.end()
            return {**measured, "cpu_us_per_association": cpu / count * 1e6}

        return self._alternate(targets, row, run)

    def memory(self, row: str, called: str, associations: int, runs: int, only: Sequence[str] = ()) -> Runs:
        """Growth of the resident memory per association: idle, or idle again after 16 MiB each way."""
        found: Runs = {}
        for _ in range(runs):
            with self.running(only=only) as targets:
                for target in targets:
                    self._warm(target)
                    before = target.rss_kib()
                    self._loader.begin("hold", target.port, called=called, associations=associations)
                    time.sleep(_SETTLE)
                    idle = (target.rss_kib() - before) / associations
                    self._loader.start()
                    self._loader.result()
                    time.sleep(_SETTLE)
                    used = (target.rss_kib() - before) / associations
                    self._loader.end()
                    result = {"idle_kib": idle, "used_kib": used, "rss_before_kib": before}
                    found.setdefault(target.name, []).append(result)
        return self._keep(row, found)

    def _warm(self, target: Target) -> None:
        """Use the process once: memory that is allocated only once does not belong to an association."""
        self._loader.begin("bulk", target.port, called="STORE", associations=2, each=8)
        self._loader.start()
        self._loader.result()
        self._loader.end()
        time.sleep(_SETTLE)

    def gain(self, row: str, each: int, only: Sequence[str]) -> Runs:
        """Throughput of eight senders with two workers, as a ratio to one worker."""
        found: Runs = {}
        with self.running(workers=1, only=only) as ones, self.running(workers=2, only=only) as twos:
            for _ in range(self._runs):
                for one, two in zip(ones, twos, strict=True):
                    speeds = [self._speed(target, each) for target in (one, two)]
                    result = {"gain": speeds[1] / speeds[0], "one_mib_per_s": speeds[0], "two_mib_per_s": speeds[1]}
                    found.setdefault(one.name, []).append(result)
        return self._keep(row, found)

    def _speed(self, target: Target, each: int) -> float:
        self._loader.begin("bulk", target.port, called="STORE", associations=8, each=each)
        self._loader.start()
        measured = self._loader.result()
        self._loader.end()
        return 8 * each * instances.STORE["STORE"].wire_size / 1024**2 / float(measured["wall_s"])

    def fairness(self, targets: list[Target], row: str, senders: int, seconds: float) -> Runs:
        """C-ECHO on fresh TLS associations while bulk senders run; how alike the senders fare."""

        def run(target: Target) -> Run:
            self._loader.begin("bulk", target.port, called="STORE", associations=senders, seconds=seconds)
            self._second.begin("one_by_one", target.port, called="ECHO", seconds=seconds * 0.9)
            self._loader.start()
            self._second.start()
            echo, bulk = self._second.result(), self._loader.result()
            self._second.end()
            self._loader.end()
            spread = max(bulk["each"]) / max(1, min(bulk["each"]))
            return {"echo_p50_ms": echo["p50_ms"], "echo_p99_ms": echo["p99_ms"], "echoes": echo["count"],
                    "largest_to_smallest": spread, "each": bulk["each"]}  # fmt: skip

        return self._alternate(targets, row, run)

    def balance(self, row: str, rounds: int) -> Runs:
        """The distribution of eight bulk senders on the gateway's two workers: the maximum of one worker."""
        found: Runs = {}
        with self.running(workers=2, only=["dicomgate"]) as targets:
            for _ in range(rounds):
                for target in targets:
                    self._loader.begin("bulk", target.port, called="STORE", associations=8, each=1)
                    standing = target.standing()
                    self._loader.start()
                    self._loader.result()
                    self._loader.end()
                    until(lambda target=target: not any(target.standing()), "the next round finds both workers empty")
                    assert sum(standing) == 8, standing
                    found.setdefault(target.name, []).append({"most": max(standing), "standing": standing})
        return self._keep(row, found)

    def _alternate(self, targets: list[Target], row: str, run: Callable[[Target], Run]) -> Runs:
        found: Runs = {target.name: [] for target in targets}
        for _ in range(self._runs):
            for target in targets:
                found[target.name].append(run(target))
        return self._keep(row, found)

    def _keep(self, row: str, found: Runs) -> Runs:
        self.raw[row] = found
        return found


def samples(runs: Runs, figure: str) -> dict[str, list[float]]:
    """A figure of every run, by the name of the proxy."""
    return {name: [run[figure] for run in found] for name, found in runs.items()}
