"""Writes files and folders that appear complete or not at all. Keys are private from their first byte on."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder (0700) that is renamed to `target` when the body ends, and removed if the body raises.

    Raises OSError if `target` exists and is not empty.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, because a rename is atomic within one file system only. mkdtemp makes it 0700.
    new = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield new
        os.rename(new, target)  # replaces an empty folder, and fails for any other
    except BaseException:  # KeyboardInterrupt too: half a folder may contain a key
        shutil.rmtree(new, ignore_errors=True)
        raise


def write_new(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a new file with these permissions. Raises FileExistsError if the path exists."""
    # O_EXCL follows no link, and a mode given to `open` leaves no moment in which others can read the key.
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())  # before any rename: after a power failure the name would stand for an empty file


def replace(path: Path, data: bytes) -> None:
    """Replace a file atomically: a reader gets the old or the new content. The caller holds a lock."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # left by a process that was killed
    write_new(new, data)
    os.replace(new, path)
