"""A scrape does not wait for a busy worker: it shows the last answer, and the next scrape shows a late one."""

import asyncio
from pathlib import Path
from typing import Any, cast

from proxy.observe.metrics import Snapshot
from proxy.process.messages import Question
from proxy.process.totals import Totals
from proxy.shared.server_states import ServerStates
from proxy.shared.table import SharedTable
from tests.support.configs import PLAIN, load_text


class Busy:
    """A worker that answers when the test sets `answer`."""

    def __init__(self) -> None:
        self.ready, self.gone = asyncio.Event(), asyncio.Event()
        self.ready.set()
        self.snapshot: Snapshot = {}
        self.silent = False
        self.state = "running"
        self.answer: asyncio.Future[Snapshot | None] = asyncio.get_running_loop().create_future()

    async def ask(self, question: Question) -> Snapshot | None:
        return await self.answer


def snapshot(opened: float) -> Snapshot:
    return cast(Snapshot, {"connections_total": [(("dicom",), opened)]})


async def test_a_late_answer_is_shown_by_the_next_scrape(tmp_path: Path) -> None:
    config = load_text(tmp_path, PLAIN).config
    assert config is not None
    totals, worker = Totals(config, {}, ServerStates(SharedTable.create(1, 1))), Busy()

    async def scrape() -> Any:
        return (await totals.collect(cast(Any, [worker]), draining=False, dropped=0))[-1]

    worker.answer.set_result(snapshot(1))
    assert await scrape() == snapshot(1)
    worker.answer = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(0.5):
        assert await scrape() == snapshot(1)
    worker.answer.set_result(snapshot(2))
    await asyncio.sleep(0)
    worker.answer = asyncio.get_running_loop().create_future()
    assert await scrape() == snapshot(2)
    assert not worker.silent
    worker.answer.set_result(None)  # `WorkerProcess.ask` has run into its timeout
    await scrape()
    assert worker.silent
