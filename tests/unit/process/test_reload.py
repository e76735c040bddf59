"""Every requester of a reload gets an answer, even if the gateway ends during the reload."""

import asyncio
from typing import cast

import pytest

from proxy.process.reload import Reloaded, ReloadOwner, Reloads


class Gateway:
    """A gateway that has begun a reload."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    def reload_begins(self) -> None:
        self.begun.set()

    def reload_ended(self, trigger: str, outcome: Reloaded) -> None:
        raise AssertionError(outcome)


async def test_requesters_of_a_reload_are_answered_when_the_gateway_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never_done(self: Reloads) -> Reloaded:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(Reloads, "_reload", never_done)
    gateway = Gateway()
    reloads = Reloads(cast(ReloadOwner, gateway), [])
    asked = [asyncio.create_task(reloads.reload("api")) for _ in range(2)]
    await gateway.begun.wait()
    await reloads.close()
    assert await asyncio.gather(*asked) == [Reloaded(False, "the gateway is stopping")] * 2
