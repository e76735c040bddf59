"""Replaces ranges of bytes."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patch:
    """`data[start:end]` becomes `replacement`; without one it is cut."""

    start: int
    end: int
    replacement: bytes = b""

    @property
    def growth(self) -> int:
        """Bytes by which the patch makes the whole longer; negative for a cut."""
        return len(self.replacement) - (self.end - self.start)


def splice(data: bytes | memoryview, patches: Iterable[Patch]) -> bytes:
    """Return `data` with patches that stand in order and do not overlap."""
    pieces: list[bytes | memoryview] = []
    copied = 0
    for patch in patches:
        pieces += (data[copied : patch.start], patch.replacement)
        copied = patch.end
    pieces.append(data[copied:])
    return b"".join(pieces)
