"""The gateway as users run it: `python -m proxy.cli run --config FILE`, watched from outside."""

import datetime
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.ports import free_port
from tests.support.processes import PATIENCE, Child, clean_environment, until

Record = dict[str, Any]
#: How long a scrape waits for a worker that is busy, in seconds.
SCRAPE_BUDGET = 0.03
SCRAPES = 20  # until one is in time: a worker under load may never be
STARTED = 2 * PATIENCE  # seconds until it is ready: processes start while others do
REPOSITORY = Path(__file__).parents[2]
#: Short enough for tests that wait for them, long enough for a loaded machine.
TIMEOUTS = {"close": "2s", "drain": "1s"}


def configuration(
    listeners: Record,
    tenants: Record,
    upstreams: Mapping[str, int | str | Record],
    *,
    admin: int | None = None,
    **more: Any,
) -> Record:
    """A configuration of the usual frame; an upstream is a port on 127.0.0.1, an address, or all of it."""
    return {
        "version": 1,
        "control": None,
        "workers": 1,
        "admin": {"listen": f"127.0.0.1:{admin or free_port()}"},
        "timeouts": {**TIMEOUTS, **more.pop("timeouts", {})},
        "listeners": listeners,
        "tenants": tenants,
        "upstreams": {
            name: where
            if isinstance(where, dict)
            else {"servers": [{"address": f"127.0.0.1:{where}" if isinstance(where, int) else where}]}
            for name, where in upstreams.items()
        },
        **more,
    }


class _Dumper(yaml.SafeDumper):
    """Writes a value that occurs twice out twice: the configuration knows no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class Gateway:
    """A running gateway. `records` are its access records, `events` all other log lines, in order."""

    def __init__(self, folder: Path, config: Record | str, *, launcher: Sequence[str] = ()) -> None:
        """Start it with this configuration (relative paths start in `folder`) and wait until it is ready.

        `launcher` is a command to put in front, such as `prlimit`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "config.yaml"
        self.path.write_text(config if isinstance(config, str) else yaml.dump(config, Dumper=_Dumper, sort_keys=False))
        self.config: Record = yaml.safe_load(self.path.read_text())
        self._admin = (self.config.get("admin") or {}).get("listen", "127.0.0.1:9280")
        self._parsed = 0
        self._lines: list[Record] = []
        self.child = Child(
            [*launcher, sys.executable, "-m", "proxy.cli", "run", "--config", self.path],
            cwd=folder,
            env=clean_environment({"PYTHONPATH": str(REPOSITORY)}),
        )
        try:
            until(self._ready, "the gateway is ready", STARTED)
            self.baseline_descriptors = self.child.descriptors()
        except BaseException as error:
            self.child.end()
            if not isinstance(error, AssertionError):
                raise
            raise AssertionError(f"{error}\n{self.child.text}") from None

    def _ready(self) -> bool:
        assert self.child.alive, f"ended with {self.child.process.returncode}"
        return self.get("/readyz")[0] == 200

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of the admin address; status 0 if the connection is refused."""
        try:
            with urllib.request.urlopen(f"http://{self._admin}{path}", timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the series of `dicomgate_<name>` that have these labels."""
        total = 0.0
        for line in self._metrics().splitlines():
            series, _, value = line.rpartition(" ")
            found, _, rest = series.partition("{")
            if found == f"dicomgate_{name}" and all(f'{key}="{text}"' in rest for key, text in labels.items()):
                total += float(value)
        return total

    def _metrics(self) -> str:
        """The page, asked for again if it took so long that a busy worker may have answered with old values."""
        for _ in range(SCRAPES):
            began = time.monotonic()
            page = self.get("/metrics")[1]
            if time.monotonic() < began + SCRAPE_BUDGET:
                break
        return page

    # --- its log ----------------------------------------------------------------------------------------------------

    @property
    def lines(self) -> list[Record]:
        """Every line of its log so far."""
        for line in self.child.output[self._parsed :]:
            self._parsed += 1
            self._lines.append(json.loads(line))
        return self._lines

    @property
    def records(self) -> list[Record]:
        return [line for line in self.lines if line["event"] == "association"]

    @property
    def events(self) -> list[Record]:
        return [line for line in self.lines if line["event"] != "association"]

    def mark(self) -> int:
        """The end of the log at present: for `wait_for_record(since=...)`."""
        return len(self.lines)

    def wait_for_record(
        self, predicate: Callable[[Record], bool] = lambda _: True, timeout: float = PATIENCE, *, since: int = 0
    ) -> Record:
        """The first access record after `since` that the predicate holds for."""
        return self._wait(lambda line: line["event"] == "association" and predicate(line), timeout, since)

    def wait_for_event(self, name: str, timeout: float = PATIENCE, *, since: int = 0, **fields: Any) -> Record:
        """The first log event after `since` with this name and these fields."""
        return self._wait(lambda line: line["event"] == name and fields.items() <= line.items(), timeout, since)

    def _wait(self, predicate: Callable[[Record], bool], timeout: float, since: int) -> Record:
        deadline = time.monotonic() + timeout
        while True:
            alive = self.child.alive
            if not alive:
                self.child.read_to_the_end(PATIENCE)
            with self.child.changed:
                seen = len(self.child.output)
                for line in self.lines[since:]:
                    if predicate(line):
                        return line
                left = deadline - time.monotonic()
                said = "\n".join(self.child.output[-20:])
                assert left > 0, f"no such line within {timeout:g} s; the last ones:\n{said}\n{self.child.errors[-5:]}"
                if alive and len(self.child.output) == seen:
                    self.child.changed.wait(min(left, 0.2))
            assert alive, f"the gateway ended with {self.child.process.returncode}: {self.child.text}"

    # --- the process ------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        return self.child.pid

    def rss_kib(self) -> int:
        return self.child.rss_kib()

    def check_healthy(self) -> None:
        """Check that the gateway runs and has logged no bug."""
        assert self.child.alive, f"the gateway ended with {self.child.process.returncode}: {self.child.text}"
        bugs = [line for line in self.lines if line["event"] == "internal" or line.get("reason") == "internal"]
        assert not bugs, bugs
        assert not any("Traceback" in line for line in self.child.errors), self.child.errors

    def stop(self) -> None:
        """Send SIGTERM, and another one if associations delay the end; the exit code must be 0, and no bug logged."""
        died = not self.child.alive
        if not died:
            self.child.process.terminate()
            try:
                until(lambda: not self.child.alive, "the gateway has drained", 8)
            except AssertionError:
                self.child.process.terminate()
        code = self.child.end()
        assert not died, f"the gateway had ended with {code}: {self.child.text}"
        assert code == 0, f"exit code {code}: {self.child.text}"
        bugs = [line for line in self.lines if line["event"] == "internal" or line.get("reason") == "internal"]
        assert not bugs, bugs


def soon(folder: Path, config: Record) -> datetime.datetime:
    """A time that a gateway of this configuration, if started next, lives to see, and not long after that."""
    began = time.monotonic()
    Gateway(folder, config).stop()
    lead = 3 + 3 * (time.monotonic() - began)
    return (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=lead)).replace(microsecond=0)
