"""Writes files and folders that appear complete or not at all, never over existing ones; keys are private at once."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a folder (0700) that gets its name when the body ends. Fails if a folder of that name is not empty."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield new
        os.rename(new, target)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def write_new(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a new file: never through a link or over another file, and at no moment readable by others."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, data: bytes) -> None:
    """Replace a file: a reader gets the old or the new content. Only one caller may do this at a time."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # left by a process that was killed
    write_new(new, data)
    os.replace(new, path)
