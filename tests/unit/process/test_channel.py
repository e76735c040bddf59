"""The channel between supervisor and worker: whole messages in order, and lines that may be dropped."""

import asyncio
import socket
from typing import Any

import pytest

from proxy.process.channel import MAX_WAITING, Channel


class End:
    """One end of a channel and the messages it received."""

    def __init__(self, gather: float = 0.0) -> None:
        self.received: list[tuple[str, Any]] = []
        self.changed = asyncio.Event()
        self.lost = asyncio.Event()
        self.channel = Channel(self._received, self.lost.set, gather=gather)

    def _received(self, kind: str, value: Any) -> None:
        self.received.append((kind, value))
        self.changed.set()

    async def receive(self, count: int) -> list[tuple[str, Any]]:
        while len(self.received) < count:
            self.changed.clear()
            await self.changed.wait()
        return self.received


async def pair(gather: float = 0.0) -> tuple[End, End]:
    ours, theirs = socket.socketpair()
    first, second = End(), End(gather)
    await first.channel.open(ours)
    await second.channel.open(theirs)
    return first, second


async def test_messages_arrive_whole_and_in_order() -> None:
    first, second = await pair()
    for number in range(100):
        first.channel.send("number", number)
    first.channel.send("large", bytes(3_000_000))
    second.channel.send("answer", {"a": (1, 2)})
    received = await second.receive(101)
    assert received[:100] == [("number", number) for number in range(100)]
    assert received[100] == ("large", bytes(3_000_000))
    assert await first.receive(1) == [("answer", {"a": (1, 2)})]
    await first.channel.close()
    await second.lost.wait()
    second.channel.send("into", "the void")


async def test_lines_are_dropped_and_counted_while_the_other_end_does_not_read() -> None:
    ours, theirs = socket.socketpair()
    end = End()
    await end.channel.open(ours)
    line = bytes(100_000)
    for _ in range(2 * MAX_WAITING // len(line) + 40):
        end.channel.offer("line", line)
    assert end.channel.dropped
    end.channel.send("order", "is never dropped")
    theirs.close()
    await end.lost.wait()


async def test_messages_that_follow_closely_are_read_together() -> None:
    """The first is read at once, and messages sent before the other end closed are read before its end is reported."""

    first, second = await pair(gather=60)
    first.channel.send("number", 0)
    assert await second.receive(1) == [("number", 0)]
    for number in range(1, 10):
        first.channel.send("number", number)
        await asyncio.sleep(0)
    assert len(second.received) == 1
    second.channel._read_on()  # the time to gather has passed
    second.received.clear()
    await second.receive(1)
    assert second.received == [("number", number) for number in range(1, 10)]
    first.channel.send("number", 10)
    await first.channel.close()
    second.channel._read_on()
    await second.receive(10)
    second.channel._read_on()
    await second.lost.wait()
    assert second.received[-1] == ("number", 10)
    second.channel._read_on()  # the other end has closed


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 9])
async def test_chunks_do_not_matter(cut: int) -> None:
    ours, theirs = socket.socketpair()
    sender = End()
    await sender.channel.open(ours)
    sender.channel.send("a", "b")
    sender.channel.send("c", None)
    wire = theirs.recv(65536)
    listener = End()
    for start in range(0, len(wire), cut):
        listener.channel.data_received(wire[start : start + cut])
    assert listener.received == [("a", "b"), ("c", None)]
    await sender.channel.close()
    theirs.close()
