"""Reads and writes the documents of this repository."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def read(name: str) -> str:
    """The text of a file by its path from the root of the repository."""
    return (ROOT / name).read_text()
