"""A wall clock that the test moves, for the Python code of a gateway. The monotonic one, and OpenSSL's, stay right."""

import time
from pathlib import Path

from tests.support.sabotage import sabotage

_MOVED = """
import datetime, time

right = time.time

def moved():
    try:
        with open(offset) as file:
            return right() + float(file.read())
    except FileNotFoundError:
        return right()

class Moved(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(moved(), tz)

time.time = moved
datetime.datetime = Moved
"""


class Clock:
    """A wall clock that the test moves; `launcher` starts a gateway that reads it."""

    def __init__(self, folder: Path) -> None:
        self._offset = folder / "offset"
        self.launcher = sabotage(folder, f"offset = {str(self._offset)!r}\n{_MOVED}", supervisor=True)

    def jump(self, seconds: float) -> None:
        """So far from the right time."""
        fresh = self._offset.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.rename(self._offset)

    def set(self, epoch: float) -> None:
        """To so many seconds since 1970."""
        self.jump(epoch - time.time())
