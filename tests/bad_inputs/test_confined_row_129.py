"""Row 129: a system that gives nothing but the program."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.archive import Archive
from tests.support.attempts import echo_once
from tests.support.client import client_context
from tests.support.confined import NOBODY, confined
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs
from tests.support.site import Site, port_of
from tests.support.steering import kill, wait_serving, workers


def test_row_129_nothing_but_the_program(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    """The gateway serves with a read-only root, no /tmp, home or /etc, as uid 65534, under seccomp and Landlock.

    Workers are replaced there too.
    """
    if os.getuid():
        pytest.skip("needs root")
    folder = tmp_path / "gateway0"  # of `start_gateway`
    folder.mkdir()
    with Pacs(Archive()) as pacs:
        config = site.one_tenant(pacs.port, workers=2)
        gateway = start_gateway(config, launcher=confined(tmp_path / "root", (site.folder, folder)))
        for pid in gateway.child.family():
            status = Path(f"/proc/{pid}/status").read_text()
            assert f"Uid:\t{NOBODY}\t{NOBODY}" in status and "CapEff:\t0000000000000000" in status
            assert "Seccomp:\t2" in status
        echo_once(port_of(config), client_context())
        kill(workers(gateway)[0])
        wait_serving(gateway, 2)
        for _ in range(4):
            echo_once(port_of(config), client_context())
        assert not os.path.exists(f"/proc/{gateway.pid}/root/etc/passwd")
