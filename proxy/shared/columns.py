"""Rows of values in shared memory, found by a key.

Each kind of value has its own column, so that all keys are adjacent: `mmap.find` finds one in C, where a loop over rows
would run in Python for each association.
"""

import mmap
from typing import TypeVar

#: Bytes of a key.
KEY = 16
_FREE = bytes(KEY)
_Value = TypeVar("_Value", int, float)


class Columns:
    """`rows` rows from `start`: the keys, then one column for each call of `doubles`, `counts` and `flags`.

    The rows end at `limit`, which is the end of the memory unless another part begins before that. All processes run
    the same version and make the same calls, so they agree on the offset of each value.

    Call `claim`, `publish` and `erase` under the table's lock. A key is written last and erased first: a process that
    is killed in between leaves a row without a key, which is free, and a new row is never found half written. An update
    in place may be left half done.

    Reading takes no lock: a reader may see an update half done, or the values of another key that has just taken the
    row over. Such values are good for hints; a decision is made under the lock. `end` is the offset after the last
    column so far.
    """

    def __init__(self, memory: mmap.mmap, start: int, rows: int, limit: int | None = None) -> None:
        self._memory = memory
        self._limit = len(memory) if limit is None else limit
        self._start = start
        self._keys_end = self.end = start + rows * KEY
        self._columns: list[memoryview[int] | memoryview[float]] = []
        self.rows = rows

    def doubles(self) -> "memoryview[float]":
        """Add a column of times. Call it before the others: an unaligned 8-byte value may be read half written."""
        return self._add(self._next(8).cast("d"))

    def counts(self) -> memoryview:
        """Add a column of 4-byte integers."""
        return self._add(self._next(4).cast("I"))

    def flags(self) -> memoryview:
        """Add a column of bytes."""
        return self._add(self._next(1))

    def _next(self, size: int) -> memoryview:
        start, self.end = self.end, self.end + self.rows * size
        assert start % size == 0 and self.end <= self._limit
        return memoryview(self._memory)[start : self.end]

    def _add(self, column: "memoryview[_Value]") -> "memoryview[_Value]":
        self._columns.append(column)
        return column

    def find(self, key: bytes) -> int | None:
        """Return the row of a key, or None."""
        return find_key(self._memory, key, self._start, self._keys_end)

    def claim(self) -> int | None:
        """Return a free row with all values zero, or None. Nothing reserves it: keep the lock until `publish`."""
        row = self.find(_FREE)
        if row is not None:
            # Here and not in `erase`: a reader without the lock may have found the row just before it was erased.
            for column in self._columns:
                column[row] = 0
        return row

    def publish(self, row: int, key: bytes) -> None:
        """Give a row its key, once its values are complete."""
        start = self._start + row * KEY
        self._memory[start : start + KEY] = key

    def erase(self, row: int) -> None:
        """Free a row."""
        self.publish(row, _FREE)

    def used(self) -> list[tuple[int, bytes]]:
        """Return the rows in use, with their keys."""
        keys = self._memory[self._start : self._keys_end]
        named = ((row, keys[row * KEY : (row + 1) * KEY]) for row in range(self.rows))
        return [(row, key) for row, key in named if key != _FREE]


def find_key(memory: mmap.mmap, key: bytes, start: int, end: int) -> int | None:
    """Return the row of `key` in a column of keys from `start` to `end`, or None."""
    at = memory.find(key, start, end)
    # The bytes may also occur across two keys: the end of one and the beginning of the next.
    while at != -1 and (at - start) % KEY:
        at = memory.find(key, at + 1, end)
    return None if at == -1 else (at - start) // KEY
