"""Signals to stop, repeated until the process has ended: it ends as the first one asked."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.gateway import Gateway
from tests.support.ports import free_port
from tests.support.site import Site


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_storm_of_signals(number: signal.Signals, site: Site, tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "gateway", site.one_tenant(free_port()))
    while gateway.child.alive:
        os.kill(gateway.pid, number)
        time.sleep(0.01)
    assert gateway.child.end() == 0
    assert not [line for line in gateway.child.errors if "Traceback" in line], gateway.child.text
