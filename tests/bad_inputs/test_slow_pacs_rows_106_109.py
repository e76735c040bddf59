"""Rows 106 and 109: a PACS that reads next to nothing, and one that reads nothing at all."""

import hashlib
import socket
import threading
import time
from collections.abc import Callable

import pytest

from proxy.pdu.encode import encode_release_rq
from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import Case
from tests.bad_inputs.fake_pacs import PacsSide
from tests.bad_inputs.hostile import TlsPeer
from tests.support.messages import stored
from tests.support.pdus import encode_release_rp
from tests.support.processes import until
from tests.support.soak import scaled

MIB = 1 << 20
TRICKLE = float(scaled(5, 300))  # seconds of a byte per second
UNACKNOWLEDGED = float(scaled(8, 600))  # seconds; 10m is the default
MOST_WAITING = 16 * MIB  # what the kernel's own buffers hold of two connections on the loopback interface
KEPT = 1 * MIB  # what the gateway itself may hold
PROBE = 2.0  # seconds by which the kernel's probes of a closed window may come later than the timeout


@pytest.fixture(scope="module")
def bed(start_bed: Callable[..., Bed]) -> Bed:
    return start_bed(timeouts={"unacknowledged": f"{UNACKNOWLEDGED:.0f}s"})


class Sender:
    """Sends data over TLS from a thread of its own, as fast as it is read. `sent` in bytes of ciphertext."""

    def __init__(self, peer: TlsPeer, data: bytes) -> None:
        self._peer = peer
        # Sealed before the thread starts: the TLS object serves one thread at a time, and the test's own reads.
        self._records = [peer.seal(data[start : start + MIB]) for start in range(0, len(data), MIB)]
        self.sent = 0
        self._thread = threading.Thread(target=self._send, daemon=True)
        peer.socket.settimeout(None)
        self._thread.start()

    def _send(self) -> None:
        for record in self._records:
            for start in range(0, len(record), 4096):
                try:
                    self._peer.socket.sendall(record[start : start + 4096])
                except OSError:
                    return
                self.sent += len(record[start : start + 4096])

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> None:
        self._thread.join(10)
        assert not self.alive

    def reset(self) -> None:
        """Send a RST although the thread is in a send: it is woken first, as a socket in use would not be closed."""
        self._peer.socket.shutdown(socket.SHUT_WR)
        self.join()
        self._peer.reset()


def stalled(sender: Sender) -> int:
    """The bytes that were sent when the gateway stopped reading."""
    last = -1

    def same() -> bool:
        nonlocal last
        if last != sender.sent:
            last = sender.sent
            time.sleep(0.2)
            return False
        return True

    until(same, "the requestor is throttled", 10)
    return last


def handed_over(case: Case, calling: str) -> tuple[TlsPeer, PacsSide]:
    peer, side = case.handed_over(calling)
    assert isinstance(peer, TlsPeer)
    return peer, side


@pytest.mark.slow
def test_row_106_a_byte_per_second(case: Case) -> None:
    """The requestor is throttled, the gateway buffers next to nothing, others are served; then all data arrives."""
    peer, side = handed_over(case, "HANDOVER106")
    data = b"".join(stored(bytes((number,)) * MIB) for number in range(40))
    rss = case.bed.rss_bytes()
    pauses = case.gateway.metric("backpressure_pauses_total", side="client")
    sender = Sender(peer, data)
    waiting = stalled(sender)
    ends = time.monotonic() + TRICKLE
    taken = b""
    while time.monotonic() < ends:
        taken += side.socket.recv(1)
        case.check_the_healthy_client()
        assert case.bed.rss_bytes() - rss < KEPT + case.rss_slack
        time.sleep(1)  # the pace of this PACS: it is what the row is about
    assert sender.alive and sender.sent <= waiting + MIB < MOST_WAITING
    assert case.gateway.metric("backpressure_pauses_total", side="client") > pauses
    side.received += taken
    while len(side.received) < len(data):
        assert side.read(), side.end
    sender.join()
    assert hashlib.sha256(side.received).digest() == hashlib.sha256(data).digest()
    peer.send(encode_release_rq())
    while not side.received.endswith(encode_release_rq()):
        assert side.read(), side.end
    side.send(encode_release_rp())
    assert peer.pdu() == encode_release_rp()
    peer.close()
    side.read_to_end()
    case.passed(peer, "released")


@pytest.mark.slow
def test_row_109_a_window_that_stays_shut(case: Case) -> None:
    """The association ends at `timeouts.unacknowledged`, also for a requestor that has left meanwhile.

    The one that stays gets an A-ABORT: no PDU towards it was under way.
    """
    began = time.monotonic()
    data = stored(bytes(MIB)) * 40
    peers, sides = zip(*(handed_over(case, "HANDOVER109") for _ in range(2)), strict=True)
    senders = [Sender(peer, data) for peer in peers]
    for sender in senders:
        stalled(sender)
    stays, leaves = peers
    senders[1].reset()
    case.check_the_healthy_client()
    assert stays.aborted(UNACKNOWLEDGED + PROBE) == "2/0"
    assert time.monotonic() - began > UNACKNOWLEDGED * 0.9
    senders[0].join()
    stays.close()
    assert "timed out" in case.record(stays)["detail"]
    case.passed(stays, "upstream_lost")
    case.passed(leaves, "upstream_lost")
    assert time.monotonic() - began < UNACKNOWLEDGED + 2 * PROBE
    for side in sides:
        side.socket.close()
