"""The files of one generation: each is read once, whole, and never again."""

import errno
import glob
import os
import stat
from dataclasses import dataclass, field

MAXIMUM_FILE = 16 * 1024 * 1024  # a CRL of a large CA has a few MiB


class FileProblem(Exception):
    """A file that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Content:
    """What was in a file, and its permission bits."""

    data: bytes
    mode: int


@dataclass(slots=True)
class Files:
    """Reads each file once, so that one generation never mixes old and new content."""

    contents: dict[str, Content] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    patterns: list[str] = field(default_factory=list)

    def matching(self, pattern: str) -> list[str]:
        """The paths that a pattern matches, in order."""
        self.patterns.append(pattern)
        return sorted(glob.glob(pattern))

    def read(self, path: str, maximum: int = MAXIMUM_FILE) -> Content:
        """The content of a regular file. Raises FileProblem."""
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
        """Every file that was asked for, and the patterns of those that were included.

        Those that could not be read too: one that appears later is a change.
        """
        return [*self.contents, *self.problems, *self.patterns]


def _read(path: str, maximum: int) -> Content:
    try:
        # Without O_NONBLOCK a named pipe would stop the program here.
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
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise FileProblem(f"{path} is {'a folder' if stat.S_ISDIR(status.st_mode) else 'not a regular file'}")
    data = bytearray()
    if status.st_size <= maximum:
        while chunk := os.read(descriptor, 1024 * 1024):
            data += chunk
            if len(data) > maximum:  # it grew meanwhile
                break
    if max(len(data), status.st_size) > maximum:
        raise FileProblem(f"{path} is larger than {maximum // (1024 * 1024)} MiB")
    return Content(bytes(data), stat.S_IMODE(status.st_mode))


def _reason(error: OSError) -> str:
    if error.errno == errno.EACCES:
        return f"permission denied (dicomgate runs as uid {os.geteuid()})"
    return (error.strerror or str(error)).lower()
