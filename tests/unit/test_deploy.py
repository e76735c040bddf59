"""What deploy/ tells systemd agrees with the gateway: its commands, its sockets, the time it needs to stop."""

import re
import shlex
from collections import defaultdict
from pathlib import Path

import pytest

from proxy.cli.__main__ import VERBS
from proxy.config.load import DEFAULT_PATH
from proxy.config.values import DEFAULT_CONTROL
from tests.support import defaults

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"


def unit(name: str) -> dict[str, list[str]]:
    """Each key of a unit file with its values, in order."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in (DEPLOY / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[key].append(value)
    return found


SERVICE = unit("dicomgate.service")


@pytest.mark.parametrize(("key", "verb"), [("ExecStart", "run"), ("ExecReload", "reload")])
def test_the_commands_exist(key: str, verb: str) -> None:
    [line] = SERVICE[key]
    assert shlex.split(line)[1:] == [verb, "--config", DEFAULT_PATH]
    assert verb in VERBS


def test_the_control_socket_lies_in_the_runtime_directory() -> None:
    assert Path(DEFAULT_CONTROL).parent == Path("/run") / SERVICE["RuntimeDirectory"][0]


def test_systemd_waits_longer_than_the_gateway_drains() -> None:
    timeouts = defaults.timeouts()
    needed = timeouts.drain_delay + timeouts.drain + 2 * timeouts.close
    assert float(SERVICE["TimeoutStopSec"][0].removesuffix("s")) > needed


def test_there_are_descriptors_for_every_connection() -> None:
    assert int(SERVICE["LimitNOFILE"][0]) > 2 * defaults.limits().connections


def test_the_sockets_are_those_of_the_reference() -> None:
    [bind] = re.findall(r"^    bind: \[(.*)\]$", (REPOSITORY / "examples" / "reference.yaml").read_text(), re.MULTILINE)
    assert unit("dicomgate.socket")["ListenStream"] == re.findall(r'"([^"]+)"', bind)
