"""One gateway with all kinds of listeners and tenants, a fake PACS behind it, and a healthy client that stays."""

import itertools
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bad_inputs.configuration import LISTENERS, Pki, bed_configuration
from tests.bad_inputs.fake_pacs import FakePacs
from tests.bad_inputs.hostile import TlsPeer
from tests.support import pdus
from tests.support.gateway import Gateway
from tests.support.messages import stored
from tests.support.processes import until

HEALTHY = "127.200.0.1"


_WARM_UP = 10  # associations


class Bed:
    """A running gateway with its PACS and a healthy client that stays associated."""

    _addresses = itertools.count(1)

    def __init__(
        self,
        folder: Path,
        pki: Pki,
        pacs: FakePacs,
        *,
        healthy: bool = True,
        launcher: Sequence[str] = (),
        **configuration: Any,
    ) -> None:
        """`healthy` False: with a fault that lets no client be served. `launcher`: a command to put in front.

        `configuration`: the arguments of `bed_configuration`.
        """
        self.pki = pki
        self.pacs = pacs
        config = bed_configuration(pki, pacs.port, **configuration)
        self.ports = {name: int(config["listeners"][name]["bind"][0].rpartition(":")[2]) for name in LISTENERS}
        # As JSON, which is YAML too: what occurs twice is written twice, not as an anchor.
        self.gateway = Gateway(folder, json.dumps(config, indent=1), launcher=launcher)
        self._healthy: TlsPeer | None = None
        if healthy:
            self._warm_up()
            self._healthy = self._association()
            self.normal = self.echo_seconds(30)
        self.served = int(healthy)
        self.events_at_start = {line["event"] for line in self.gateway.events}
        self.errors_at_start = list(self.gateway.child.errors)
        # The least of some, because a connection to the admin address may just be closing.
        self.descriptors = min(self.gateway.child.descriptors() for _ in range(200))

    def _association(self) -> TlsPeer:
        peer = TlsPeer(self.ports["tls"], HEALTHY)
        assert peer.handshake(), f"{peer.alert} {peer.end}"
        peer.associate(pdus.associate_rq(calling=b"HEALTHY".ljust(16)))
        return peer

    def _warm_up(self) -> None:
        """Make the process touch its shared buffers, so that a row shows its own memory only."""
        for _ in range(_WARM_UP):
            peer = self._association()
            peer.send(stored(bytes(1 << 19)))
            peer.release()
            self.gateway.metric("connections_active")
        # Lines may come a moment later than what they tell: none of these belongs to a row.
        until(lambda: len(self.gateway.records) == _WARM_UP, "the records of the warm-up")

    def echo_seconds(self, times: int) -> float:
        """The median time of a C-ECHO of the healthy client."""
        assert self._healthy is not None
        return statistics.median(self._healthy.echo() for _ in range(times))

    def address(self) -> str:
        """A source address that was not used before: refusals are rate-limited, and connections capped, by address."""
        number = next(self._addresses)
        return f"127.{1 + (number >> 14)}.{number >> 7 & 127}.{1 + (number & 127)}"

    def cpu_seconds(self) -> float:
        return self.gateway.child.cpu_seconds()

    def rss_bytes(self) -> int:
        """Resident memory, exactly (the counters in /proc/PID/status lag behind)."""
        rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.gateway.child.family()]
        return sum(int(line.split()[1]) * 1024 for text in rollups for line in text.splitlines() if line[:4] == "Rss:")

    def stop(self) -> None:
        if self._healthy is not None:
            self._healthy.release()
        self.gateway.stop()
