"""What several scenarios need."""

import multiprocessing
from collections.abc import Iterator

import pytest

from tests.bench import pacs


@pytest.fixture
def quick_pacs() -> Iterator[int]:
    """The port of the bench's PACS: a process that costs little and answers by the called AE title."""
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe()
    process = processes.Process(target=pacs.serve, args=(theirs,), daemon=True)
    process.start()
    yield ours.recv()
    process.terminate()
    process.join()
