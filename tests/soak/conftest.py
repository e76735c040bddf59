"""Fixtures of several scenarios."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import pacs
from tests.support import certs
from tests.support.configs import write_pair
from tests.support.loads import end_process
from tests.support.processes import PATIENCE


@pytest.fixture
def quick_pacs(tmp_path: Path) -> Iterator[int]:
    """The plain port of the bench's PACS: a process that costs little and answers by the called AE title."""
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe()
    write_pair(tmp_path, certs.leaf("pacs", certs.ca("PACS CA")), "pacs")
    pair = str(tmp_path / "pacs.pem"), str(tmp_path / "pacs.key")
    process = processes.Process(target=pacs.serve, args=(theirs, *pair), daemon=True)
    process.start()
    theirs.close()  # a process that fails at its start ends the wait
    try:
        assert ours.poll(3 * PATIENCE), "the PACS does not start"
        yield ours.recv()[0]
    finally:
        end_process(process)
        ours.close()
