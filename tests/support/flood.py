"""Gigabytes of P-DATA that are never alike, their digest, and readers that take their time."""

import hashlib
import threading
import time
from collections.abc import Iterator

from proxy.pdu import PduType
from tests.support.messages import begun
from tests.support.wire import Wire

_FRAGMENT = 64 * 1024
_PDU = 6 + 4 + 2 + _FRAGMENT
_HEADER = bytes((PduType.P_DATA_TF, 0)) + (_PDU - 6).to_bytes(4, "big") + (_PDU - 10).to_bytes(4, "big") + bytes((3, 0))
_FILL = hashlib.shake_256(b"pixel data").digest(_FRAGMENT - 8)
_BATCH = 16  # PDUs per write


def whole_pdus(size: int) -> int:
    """The number of bytes, at least `size`, that `batches` gives."""
    return -(-size // (_PDU * _BATCH)) * _PDU * _BATCH


def batches(size: int, salt: int = 0) -> Iterator[bytes]:
    """P-DATA-TF on context 3, each with a number of its own, `whole_pdus(size)` bytes in all."""
    for first in range(0, whole_pdus(size) // _PDU, _BATCH):
        numbers = range(first, first + _BATCH)
        yield b"".join(_HEADER + ((salt << 48) + number).to_bytes(8, "big") + _FILL for number in numbers)


class Sender(threading.Thread):
    """Sends a message with `size` bytes of data set in P-DATA-TFs; `digest` is set after the last byte."""

    def __init__(self, wire: Wire, size: int, salt: int = 0) -> None:
        super().__init__(daemon=True)
        self._wire, self._size, self._salt = wire, size, salt
        self.digest = ""
        self.sent = 0

    def run(self) -> None:
        digest = hashlib.sha256()
        self._wire.send(begun(3))
        for batch in batches(self._size, self._salt):
            digest.update(batch)
            self._wire.send(batch)
            self.sent += len(batch)
        self.digest = digest.hexdigest()


class Reader(threading.Thread):
    """Reads `whole_pdus(size)` bytes: for `slow` seconds `rate` bytes a second, then as fast as it can."""

    def __init__(self, wire: Wire, size: int, *, slow: float = 0, rate: int = 1024 * 1024) -> None:
        super().__init__(daemon=True)
        self._wire, self._left = wire, whole_pdus(size)
        self._slow, self._rate = slow, rate
        self.digest = ""
        self.received = 0

    def run(self) -> None:
        digest = hashlib.sha256()
        self._wire.receive_pdu()  # the command set
        start = time.monotonic()
        while self.received < self._left:
            data = self._wire.receive(min(64 * 1024, self._left - self.received))
            if not data:
                return
            digest.update(data)
            self.received += len(data)
            elapsed = time.monotonic() - start
            if elapsed < self._slow:
                time.sleep(max(0.0, min(self._slow, self.received / self._rate) - elapsed))
        self.digest = digest.hexdigest()
