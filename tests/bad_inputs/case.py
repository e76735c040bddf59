"""The assertions that hold for every row of bad inputs, whatever a hostile peer does.

The gateway lives, others are served, no PACS is dialled for a refused peer, all resources are released, one
record holds the reason, and the log stays one JSON object of printable ASCII per line.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.bad_inputs.bed import Bed
from tests.bad_inputs.hostile import SOON, Peer, TlsPeer
from tests.support import pdus
from tests.support.processes import until
from tests.support.stopwatch import Stopwatch

_MEASURED = 20  # times at the most that the healthy client is looked at, on a machine that is busy with something else
PROMPT = 1.0  # seconds: what the rows call at once
GIVEN_BACK = 2.0  # seconds after the last hostile socket (docs/robustness.md, "Common to the rows of tests/bad_inputs")


@dataclass(frozen=True)
class Outcome:
    """The fields that the one access record of a peer must have."""

    decision: str
    ended: str
    reason: str | None


#: What the peers of a test may make the gateway say.
_OF_A_TEST = ("refusals_suppressed", "operation_refused", "server_down", "server_up", "upstream_loop")


class Case:
    """One row, or one input of a row: hostile peers, their expected records, and the common assertions."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.gateway = bed.gateway
        self.pacs = bed.pacs
        self.rss_slack = 2 << 20  # bytes that a row may keep allocated: arenas, TLS 1.2 sessions of OpenSSL's own store
        self._peers: list[Peer] = []
        self._expected: dict[str, Outcome | None] = {}
        self._floods: dict[str, tuple[set[str], int]] = {}
        self._dials = 0
        self.mark = self.gateway.mark()
        self._rss = bed.rss_bytes()
        self._dialled = self.pacs.dials

    # --- peers ------------------------------------------------------------------------------------------------------

    def peer(self, listener: str = "plain", address: str | None = None) -> Peer:
        """A TCP connection from an address of its own."""
        return self._keep(Peer(self.bed.ports[listener], address or self.bed.address()))

    def tls_peer(self, listener: str = "tls", address: str | None = None, **more: Any) -> TlsPeer:
        """A TLS client that has sent nothing yet. `more`: context, server_name, session."""
        peer = TlsPeer(self.bed.ports[listener], address or self.bed.address(), **more)
        self._keep(peer)
        return peer

    def secured(self, **more: Any) -> TlsPeer:
        """A TLS client after its handshake."""
        peer = self.tls_peer(**more)
        assert peer.handshake(), f"{peer.alert} {peer.end}"
        return peer

    def associated(self, calling: str = "CT1", request: bytes | None = None, **more: Any) -> TlsPeer:
        """A TLS client with an association that the PACS accepted."""
        peer = self.secured(**more)
        peer.associate(request or pdus.associate_rq(calling=calling.encode().ljust(16)))
        return peer

    def handed_over(self, calling: str, *, plain: bool = False, request: bytes | None = None) -> tuple[Peer, Any]:
        """A client with an association whose other end the test holds (see `fake_pacs`)."""
        peer = self.peer() if plain else self.secured()
        peer.send(request or pdus.associate_rq(calling=calling.encode().ljust(16)))
        side = self.pacs.side(calling)
        side.accept()
        peer.accepted()
        return peer, side

    def _keep(self, peer: Peer) -> Any:
        self._peers.append(peer)
        return peer

    # --- what the record must say -----------------------------------------------------------------------------------

    def refused(self, peer: Peer | str, reason: str, *, dialled: int = 0) -> None:
        """Expect one record: refused for this reason, or the peer went away; by default the PACS was not dialled."""
        decision = "failed" if reason in ("requestor_gone", "tls_truncated") else "refused"
        self._expect(peer, Outcome(decision, "refused", reason), dialled)

    def gone(self, peer: Peer, ended: str, *, dialled: int = 0) -> None:
        """Expect one record: the peer itself left before there was an association."""
        self._expect(peer, Outcome("failed", ended, "requestor_gone"), dialled)

    def passed(
        self, peer: Peer | str, ended: str = "requestor_lost", reason: str | None = None, *, dialled: int = 1
    ) -> None:
        """Expect one record of an association and its end; the default is that of a peer that just closes.

        `dialled`: connections to the PACS of the bed; none where another upstream was called.
        """
        self._expect(peer, Outcome("accepted", ended, reason), dialled)

    def released(self, peer: Peer, *, dialled: int = 1) -> None:
        """The peer is served to the end."""
        peer.release()
        self.passed(peer, "released", dialled=dialled)

    def unrecorded(self, peer: Peer) -> None:
        """No record: a probe."""
        self._expect(peer, None, 0)

    def flooded(self, address: str, reasons: set[str], at_most: int) -> None:
        """So many connections of one address that their records are rate-limited: some, of these reasons."""
        self._floods[address] = (reasons, at_most)

    def _expect(self, peer: Peer | str, outcome: Outcome | None, dialled: int) -> None:
        self._expected[peer if isinstance(peer, str) else peer.address] = outcome
        self._dials += dialled

    # --- common to every case ---------------------------------------------------------------------------------------

    def close(self) -> None:
        for peer in self._peers:
            peer.close()

    def check(self) -> None:
        """Check all that must hold after any input."""
        gateway = self.gateway
        gateway.check_healthy()
        self.check_the_healthy_client()
        self.close()
        closed = time.monotonic()
        try:
            until(self._given_back, "everything is given back", GIVEN_BACK + 0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._held()}") from None
        records = self._records(closed)
        found = {
            address: [Outcome(r["decision"], r["ended"], r.get("reason")) for r in of_address]
            for address, of_address in records.items()
        }
        for address, (reasons, at_most) in self._floods.items():
            outcomes = found.pop(address)
            assert len(outcomes) <= at_most and {outcome.reason for outcome in outcomes} <= reasons
        assert found == {address: [outcome] for address, outcome in self._expected.items() if outcome is not None}
        unnamed = {peer.address for peer in self._peers} - self._expected.keys() - self._floods.keys()
        assert not unnamed, f"the test does not say what becomes of {unnamed}"
        assert self.pacs.dials - self._dialled == self._dials, "upstream connections"
        self._check_the_log()
        gateway.check_healthy()

    def check_the_healthy_client(self) -> None:
        """Check that the healthy client is served in less than twice its normal time plus 20 ms, best of three.

        A try that waited for a core for so long does not count.
        """
        allowed = 2 * self.bed.normal + 0.020
        attempts: list[float] = []
        counted = 0
        while counted < 3 and len(attempts) < _MEASURED and min(attempts, default=allowed) >= allowed:
            watch = self.stopwatch()
            attempts.append(self.bed.echo_seconds(5))
            counted += watch.lost() < allowed
        assert min(attempts) < allowed, f"the healthy client waits {attempts}, normally {self.bed.normal}"

    def stopwatch(self) -> Stopwatch:
        """For what the gateway is to do within some time."""
        return Stopwatch(self.gateway.child.family())

    @contextlib.contextmanager
    def promptly(self, within: float = PROMPT) -> Iterator[None]:
        """Check that the body takes no longer, on a machine that has a core for it."""
        watch = self.stopwatch()
        yield
        assert watch.seconds() < within

    def _given_back(self) -> bool:
        descriptors, too_much, connections, associations = self._held()
        return descriptors <= self.bed.descriptors and not too_much and connections == associations == self.bed.served

    def _held(self) -> tuple[int, int, int, int]:
        """Descriptors, bytes above the slack of the row, connections and associations in the metrics."""
        too_much = max(0, self.bed.rss_bytes() - self._rss - self.rss_slack)
        connections = int(self.gateway.metric("connections_active"))
        return self.gateway.child.descriptors(), too_much, connections, int(self.gateway.metric("associations_active"))

    def _records(self, closed: float) -> Mapping[str, list[dict[str, Any]]]:
        """The records of this case by address, once each peer that must have one has it."""
        needed = {address for address, outcome in self._expected.items() if outcome is not None}

        def by_address() -> dict[str, list[dict[str, Any]]]:
            found: dict[str, list[dict[str, Any]]] = {}
            for line in self.gateway.lines[self.mark :]:
                if line["event"] == "association":
                    found.setdefault(line["client"]["ip"], []).append(line)
            return found

        def complete() -> dict[str, list[dict[str, Any]]] | None:
            found = by_address()
            return found if needed <= found.keys() else None

        left = closed + GIVEN_BACK + 0.5 - time.monotonic()
        try:
            return until(lambda: complete() or not needed, "", max(left, 0.2)) and by_address()
        except AssertionError:
            raise AssertionError(f"no record of {needed - by_address().keys()}") from None

    def _check_the_log(self) -> None:
        """Check that the log is pure: above level debug only records, and the event that sums up suppressed ones."""
        events = {line["event"] for line in self.gateway.events if line["level"] != "debug"}
        assert events <= {*self.bed.events_at_start, *_OF_A_TEST}, events
        assert self.gateway.child.errors == self.bed.errors_at_start
        for line in self.gateway.child.output[self.mark :]:
            assert line.isascii() and line.isprintable() and isinstance(json.loads(line), dict), line

    def record(self, peer: Peer) -> dict[str, Any]:
        """Wait for the record of a peer."""
        return self.gateway.wait_for_record(lambda r: r["client"]["ip"] == peer.address, SOON, since=self.mark)
