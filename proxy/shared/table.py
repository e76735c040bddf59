"""Counts that several processes share: a table in shared memory under one record lock.

Each process has its own slot in every row, so that the counts of a process that was killed can be subtracted. The
kernel frees an `fcntl` record lock when its holder dies, even in the middle of a change. A count is therefore changed
before its total, and `forget` computes the totals again from the counts.

    keys    rows x 16 bytes            found by a search through their bytes
    totals  rows x 4 bytes             the sum of the counts in the row
    counts  slots x rows x 4 bytes     written by the process of the slot only, and by `forget` after its end
    secret  8 bytes
    (next page)                        server states, then loop probes
"""

import fcntl
import mmap
import os
from functools import lru_cache
from hashlib import blake2b

from proxy.shared.columns import KEY, find_key

#: A key lies in one of this many rows, beginning with the row of its hash. All of them are searched, so that a row is
#: free as soon as its total is zero: a search that ended at the first free row would miss the keys after a freed one.
_WINDOW = 32
#: Random bytes, stored after the counts, that salt the hash of keys. Strangers choose the keys (the addresses of an
#: IPv6 network, the bytes of a request). If they could compute the hash, they could fill the window of another key.
_SECRET = 8
#: Memory after the counts for the other shared structures, and the offset of each: 9.3 KiB of server states, 2.6 KiB of
#: probes.
_EXTRA = 16 * 1024
SERVER_STATES_AT = 0
PROBES_AT = 12 * 1024


class TableFull(Exception):
    """All rows in the window of a new key are in use. There are four rows for each expected key."""


class RecordLock:
    """Makes a check and the count that follows one step. Held for microseconds, never across an await, never nested.

    A record lock belongs to the process (fcntl_locking(2)), with three consequences. It excludes no other thread of the
    process: only the event loop may take it. Nested it would not block, and the inner exit would free it. Closing any
    descriptor of the file frees it too, also the copy that each `mmap` holds.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


class SharedTable:
    """`rows` counts for each of `slots` processes. One process creates it, others open it by descriptor and sizes."""

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
        """Create a table for about `keys` keys that are not zero at once."""
        rows = 1 << max(6, (4 * keys - 1).bit_length())
        # No file in a directory: nothing is left after a crash, and only processes that inherit the descriptor open it.
        descriptor = os.memfd_create("dicomgate-counts", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _extra_at(slots, rows) + _EXTRA)
        os.pwrite(descriptor, os.urandom(_SECRET), _size(slots, rows) - _SECRET)
        return cls(descriptor, slots, rows)

    def total(self, key: bytes) -> int:
        """Return the sum of all processes' counts of `key`. Exact under the lock."""
        row = self._find(key)
        return 0 if row is None else self._totals[row]

    def add(self, slot: int, key: bytes, amount: int) -> None:
        """Change the count of `slot` for `key`. Call it under the lock. Raises TableFull."""
        row = self._find(key)
        if row is None:
            row = self._claim(key)
        # The process may be killed between these two lines: `forget` then computes the total from the counts.
        self._counts[slot * self._padded + row] += amount
        self._totals[row] += amount

    def count_of(self, slot: int, key: bytes) -> int:
        """Return the count of one process for `key`."""
        row = self._find(key)
        return 0 if row is None else self._counts[slot * self._padded + row]

    def forget(self, slot: int) -> None:
        """Subtract all counts of a process that has ended, and repair a change that it may have left half done."""
        padded = self._padded
        with self.lock:
            mine = self._counts[slot * padded : (slot + 1) * padded]
            for row, total in enumerate(self._totals.tolist()):
                if total or mine[row]:  # a total of zero with a count: the process was killed between the two
                    mine[row] = 0
                    self._totals[row] = sum(self._counts[other * padded + row] for other in range(self.slots))

    def map_extra(self) -> mmap.mmap:
        """Map the memory after the counts: zero when the table is created, written under the same lock."""
        return mmap.mmap(self.descriptor, _EXTRA, offset=_extra_at(self.slots, self.rows))

    def close(self) -> None:
        """Unmap the table; the descriptor stays open."""
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
            # A freed row keeps its old key, so a search may still find it: with a total of zero that is no error.
            if not self._totals[row]:
                self._memory[row * KEY : (row + 1) * KEY] = key
                return row
        raise TableFull

    def _first(self, key: bytes) -> int:
        """Return the first row of the key's window. Keys are hashes already: one multiplication adds the secret."""
        return (int.from_bytes(key[:8], "little") * self._secret >> 64) % self.rows


@lru_cache(maxsize=1024)  # bounded: strangers have any number of addresses; a key that drops out is computed again
def key_of(*parts: str | bytes) -> bytes:
    """Return the 16-byte key of a sequence of words."""
    digest = blake2b(digest_size=KEY)
    for part in parts:
        # Each with its length: ("ab", "c") and ("a", "bc") must have different keys.
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(2, "big") + data)
    return digest.digest()


def _size(slots: int, rows: int) -> int:
    return (rows + _WINDOW) * (KEY + 4 + 4 * slots) + _SECRET


def _extra_at(slots: int, rows: int) -> int:
    """Return the offset of the memory after the counts: the next page, since only pages can be mapped."""
    return -(-_size(slots, rows) // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
