"""The actions of an operator on a running gateway: control socket, signals, configuration, processes."""

import json
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.gateway import Gateway, Record
from tests.support.processes import PATIENCE, until


def ask(gateway: Gateway, verb: str, **arguments: Any) -> Record:
    """The answer to a request on the control socket that the configuration names."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(2 * PATIENCE)
        sock.connect(gateway.config["control"])
        with sock.makefile("rw") as stream:
            stream.write(json.dumps({"verb": verb, **arguments}) + "\n")
            stream.flush()
            answer: Record = json.loads(stream.readline())
    return answer


def reload(gateway: Gateway, config: Record | None = None) -> Record:
    """Reload, with another configuration if one is given; the answer."""
    if config is not None:
        write(gateway, config)
    return ask(gateway, "reload")


def reloaded(gateway: Gateway, config: Record | None = None) -> None:
    """Reload, which must work."""
    answer = reload(gateway, config)
    assert answer["ok"], answer


def write(gateway: Gateway, config: Record) -> None:
    """Another configuration file."""
    write_to(gateway.path, config)


def write_to(path: Path, config: Record) -> None:
    """A configuration file, put in place in one step, as JSON (which is YAML)."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(config, indent=1))
    fresh.rename(path)


def workers(gateway: Gateway) -> list[int]:
    """The worker processes that run now: process ids."""
    return [pid for pid in gateway.child.family()[1:] if state(pid) not in ("", "Z")]


def kill(pid: int) -> None:
    """SIGKILL; that the process is gone already is as good."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def state(pid: int) -> str:
    """The state of a process as in /proc/PID/stat; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_serving(gateway: Gateway, count: int) -> None:
    """Until so many workers serve and none does anything else."""
    until(lambda: gateway.metric("workers", state="running") == count == len(workers(gateway)), f"{count} workers run")
