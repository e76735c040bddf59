"""The files of one generation of the configuration. Each file is read once, so that old and new content never mix."""

import errno
import glob
import os
import stat
from dataclasses import dataclass, field

MAXIMUM_FILE = 16 * 1024 * 1024  # bytes; the CRL of a large CA has a few MiB, every other file less


class FileProblem(Exception):
    """A file cannot be read. The text names the file and the reason."""


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file, and its permission bits."""

    data: bytes
    mode: int


@dataclass(slots=True)
class Files:
    """Reads files, and keeps content and failures by path. A second read of a path has the result of the first."""

    contents: dict[str, Content] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    patterns: list[str] = field(default_factory=list)

    def matching(self, pattern: str) -> list[str]:
        """Return the paths that a glob pattern matches, sorted."""
        self.patterns.append(pattern)
        return sorted(glob.glob(pattern))

    def read(self, path: str, maximum: int = MAXIMUM_FILE) -> Content:
        """Return the content of a regular file of at most `maximum` bytes. Raises FileProblem."""
        if path in self.problems:
            raise FileProblem(self.problems[path])
        if path not in self.contents:
            try:
                self.contents[path] = _read(path, maximum)
            except FileProblem as problem:
                self.problems[path] = str(problem)
                raise
        return self.contents[path]

    @property
    def paths(self) -> list[str]:
        """The paths and `include` patterns that an automatic reload watches.

        Missing and unreadable files are among them, because their appearance is a change.
        """
        return [*self.contents, *self.problems, *self.patterns]


def _read(path: str, maximum: int) -> Content:
    try:
        # Without O_NONBLOCK, opening a named pipe blocks until another process writes to it, and `check` would hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise FileProblem(f"{path} cannot be read: {_reason(error)}") from None
    except ValueError:
        raise FileProblem(f"{path!a} is not a path") from None
    try:
        return _whole(descriptor, path, maximum)
    except OSError as error:
        raise FileProblem(f"{path} cannot be read: {_reason(error)}") from None
    finally:
        os.close(descriptor)


def _whole(descriptor: int, path: str, maximum: int) -> Content:
    # fstat on the descriptor, not stat on the path, which another process could exchange in between.
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise FileProblem(f"{path} is {'a folder' if stat.S_ISDIR(status.st_mode) else 'not a regular file'}")
    data = bytearray()
    if status.st_size <= maximum:
        while chunk := os.read(descriptor, 1024 * 1024):
            data += chunk
            if len(data) > maximum:  # the file has grown since fstat
                break
    if max(len(data), status.st_size) > maximum:
        raise FileProblem(f"{path} is larger than {maximum // (1024 * 1024)} MiB")
    return Content(bytes(data), stat.S_IMODE(status.st_mode))


def _reason(error: OSError) -> str:
    if error.errno == errno.EACCES:
        return f"permission denied (dicomgate runs as uid {os.geteuid()})"
    return (error.strerror or str(error)).lower()
