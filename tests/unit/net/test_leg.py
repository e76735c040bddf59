"""One side of an association, over a real TCP connection on loopback."""

import asyncio
from typing import Any

import pytest

from proxy.net import leg as module
from proxy.net.leg import Leg
from proxy.net.poller import Poller
from tests.unit.net.relay_bed import run, tcp_pair


@pytest.mark.parametrize("at_once", [True, False], ids=["by reading", "by the owner"])
def test_an_acknowledgement_is_asked_for_where_less_came_than_was_asked_for(
    at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender of more has been acknowledged by TCP's own rules, and its next bytes are there already."""
    asked: list[object] = []
    monkeypatch.setattr(module, "acknowledge_promptly", asked.append)
    monkeypatch.setattr(module, "_PLAIN_END", module._HEADROOM + 1000)

    async def scenario() -> None:
        poller = Poller(asyncio.get_running_loop())
        near, far = tcp_pair()
        nobody: Any = None
        leg = Leg(near, poller, nobody)
        leg.acknowledges = at_once
        found = []
        with far:
            far.send(bytes(2500))
            for _ in range(4):
                size = len(leg.receive())
                if not at_once:
                    leg.acknowledge()
                found.append((size, len(asked)))
        leg.close()
        poller.close()
        # Where nothing came the owner asks all the same: what it waits for may be held back by the sender.
        assert found == [(1000, 0), (1000, 0), (500, 1), (0, 1 if at_once else 2)]

    run(scenario)
