"""Counts that several processes share: a table in shared memory under one record lock.

Each process has a slot of its own in every row, so that the share of one that was killed can be taken away again. The
kernel frees an `fcntl` record lock when its holder dies, whatever it was doing; a count is therefore changed before its
total, and `forget` makes totals anew from the counts.
"""

import fcntl
import mmap
import os
from functools import lru_cache
from hashlib import blake2b

from proxy.shared.columns import KEY, find_key

#: A key stands in one of so many rows behind its hash. All are looked at, so a row is free again as soon as it is zero.
_WINDOW = 32
#: Bytes behind the counts that say where a key stands. Strangers choose what is counted (who has a network of IPv6 its
#: address, a peer its request): by a hash that they know they would choose whose rows are taken as well.
_SECRET = 8
#: Memory after the counts for what else the processes share, and where in it each user begins.
_EXTRA = 16 * 1024
SERVER_STATES_AT = 0
PROBES_AT = 12 * 1024


class TableFull(Exception):
    """No free row for a new key: four times the expected keys are counted at once."""


class RecordLock:
    """Held for a moment, to check and count in one step. Never across an await, and never twice at once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


class SharedTable:
    """`rows` counts for each of `slots` processes. Create it once; others open it by its descriptor and sizes."""

    def __init__(self, descriptor: int, slots: int, rows: int) -> None:
        self.descriptor = descriptor
        self.lock = RecordLock(descriptor)
        self.slots = slots
        self.rows = rows
        padded = rows + _WINDOW
        self._memory = mmap.mmap(descriptor, _size(slots, rows))
        view = memoryview(self._memory)
        end_of_keys = padded * KEY
        end_of_totals = end_of_keys + padded * 4
        self._totals = view[end_of_keys:end_of_totals].cast("I")
        self._counts = view[end_of_totals:-_SECRET].cast("I")
        self._padded = padded
        self._secret = int.from_bytes(view[-_SECRET:], "little") | 1

    @classmethod
    def create(cls, slots: int, keys: int) -> "SharedTable":
        """A new table for about `keys` keys that are not zero at once."""
        rows = 1 << max(6, (4 * keys - 1).bit_length())
        descriptor = os.memfd_create("dicomgate-counts", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _extra_at(slots, rows) + _EXTRA)
        os.pwrite(descriptor, os.urandom(_SECRET), _size(slots, rows) - _SECRET)
        return cls(descriptor, slots, rows)

    def total(self, key: bytes) -> int:
        """What all processes together count under `key`. Exact while locked."""
        row = self._find(key)
        return 0 if row is None else self._totals[row]

    def add(self, slot: int, key: bytes, amount: int) -> None:
        """Change the count of `slot` under `key`, while locked. Raises `TableFull`."""
        row = self._find(key)
        if row is None:
            row = self._claim(key)
        self._counts[slot * self._padded + row] += amount
        self._totals[row] += amount

    def count_of(self, slot: int, key: bytes) -> int:
        """What one process counts under `key`."""
        row = self._find(key)
        return 0 if row is None else self._counts[slot * self._padded + row]

    def forget(self, slot: int) -> None:
        """Take away all that a process counted, because it ended; and make whole what it may have left half done."""
        padded = self._padded
        with self.lock:
            mine = self._counts[slot * padded : (slot + 1) * padded]
            for row, total in enumerate(self._totals.tolist()):
                if total or mine[row]:
                    mine[row] = 0
                    self._totals[row] = sum(self._counts[other * padded + row] for other in range(self.slots))

    def map_extra(self) -> mmap.mmap:
        """The memory behind the counts, zeroed when the table was created, under the same lock."""
        return mmap.mmap(self.descriptor, _EXTRA, offset=_extra_at(self.slots, self.rows))

    def close(self) -> None:
        """Give the memory back; the descriptor stays open."""
        self._totals.release()
        self._counts.release()
        self._memory.close()

    def _find(self, key: bytes) -> int | None:
        first = self._first(key)
        start = first * KEY
        end = start + _WINDOW * KEY
        row = find_key(self._memory, key, start, end)
        return None if row is None else first + row

    def _claim(self, key: bytes) -> int:
        first = self._first(key)
        for row in range(first, first + _WINDOW):
            if not self._totals[row]:
                self._memory[row * KEY : (row + 1) * KEY] = key
                return row
        raise TableFull

    def _first(self, key: bytes) -> int:
        return (int.from_bytes(key[:8], "little") * self._secret >> 64) % self.rows


@lru_cache(maxsize=1024)  # strangers have addresses without end; a key that is pushed out is made again
def key_of(*parts: str | bytes) -> bytes:
    """The key under which some words are counted, 16 bytes."""
    digest = blake2b(digest_size=KEY)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(2, "big") + data)
    return digest.digest()


def _size(slots: int, rows: int) -> int:
    return (rows + _WINDOW) * (KEY + 4 + 4 * slots) + _SECRET


def _extra_at(slots: int, rows: int) -> int:
    """Where the memory behind the counts begins: a page of its own."""
    return -(-_size(slots, rows) // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
