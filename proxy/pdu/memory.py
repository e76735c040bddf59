"""Remembers the parsed items of association PDUs: a device sends the same items with every association.

The same bytes always parse to the same items, so this changes no result, only its time: 120 presentation contexts take
a millisecond to parse. The size is bounded. A flood of new items drives others out, which are then parsed again. Items
that hold a secret must not be remembered.
"""

from typing import Generic, TypeVar

#: The longest items that are remembered: 128 presentation contexts with three transfer syntaxes each fit.
MAX_ITEMS = 16 * 1024
#: All items together (bytes). Their parsed forms take about five times as much again.
MAX_TOTAL = 256 * 1024

Parsed = TypeVar("Parsed")


class ItemMemory(Generic[Parsed]):
    """Items of a PDU, as bytes, and their parsed forms. The oldest make room."""

    def __init__(self) -> None:
        self._parsed: dict[bytes, Parsed] = {}
        self._total = 0

    def recall(self, items: bytes) -> Parsed | None:
        """Return the parsed form of these items, None if it is not remembered."""
        return self._parsed.get(items)

    def remember(self, items: bytes, parsed: Parsed) -> None:
        """Remember the parsed form of items, unless they are too long."""
        if len(items) > MAX_ITEMS or items in self._parsed:
            return
        self._parsed[items] = parsed
        self._total += len(items)
        while self._total > MAX_TOTAL:
            oldest = next(iter(self._parsed))
            del self._parsed[oldest]
            self._total -= len(oldest)

    def __len__(self) -> int:
        return len(self._parsed)
