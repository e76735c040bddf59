"""Files and folders that appear complete or not at all, over nothing that is there, keys for no other eyes."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder (0700) that gets its name when the body has ended. Fails where one with anything in it has the name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield new
        os.rename(new, target)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def write_new(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Never through a link, never over another file, and never readable by others for a moment."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, data: bytes) -> None:
    """Old content or new, never half. The caller sees to it that only one does this at a time."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # left by one that was killed
    write_new(new, data)
    os.replace(new, path)
