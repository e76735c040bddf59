"""Lines to a sink, written by a thread, so that a slow, stalled or full sink never blocks the caller.

Lines wait in a queue of bounded size. A line that does not fit is dropped and counted. Once the queue is empty, one
event reports the number.

The thread waits until the sink is writable, then writes at most PIPE_BUF bytes. A writable pipe takes that much without
blocking (pipe(7)), so the thread can always end. The pipe also takes it in one piece, so lines of several processes on
one pipe do not mix. As many whole lines as fit go into one write.

Waking the thread costs more than writing a line. Lines that follow each other closely are therefore written together.
"""

import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

#: Seconds that the thread waits for a stalled sink before it checks for the end, and seconds between two attempts to
#: write to a failed sink (disk full, reader gone).
PATIENCE_S = 0.25
#: Seconds between two wake-ups of the thread. Lines that are queued in between are written together. The first line
#: after a pause is written at once.
GATHER_S = 0.02

_NEVER = sys.maxsize


class LineWriter:
    """Writes to one sink: a file (opened to append, reopened on request) or a stream that has a descriptor.

    `note(event, fields)` formats the writer's own lines. The thread calls `failed(fields)` if the file cannot be
    reopened; without `failed` the old file gets the report. Thread-safe. Only `close` waits.

    Raises OSError if the file cannot be opened.
    """

    def __init__(
        self,
        sink: str | Path | IO[str] | IO[bytes],
        capacity_bytes: int,
        note: Callable[[str, dict[str, object]], bytes],
        failed: Callable[[dict[str, object]], None] | None = None,
    ) -> None:
        self._path = Path(sink) if isinstance(sink, (str, Path)) else None
        # A copy of the descriptor: if other code closed the stream, its number could next belong to a socket.
        self._fd = os.dup(sink.fileno()) if not isinstance(sink, (str, Path)) else _open(Path(sink))
        self._capacity = capacity_bytes
        self._note = note
        self._failed = failed
        self._lock = threading.Lock()  # guards the fields below
        self._changed = threading.Condition(self._lock)
        self._wake_at = _NEVER  # queued bytes at which the thread is woken
        self._lines: deque[bytes] = deque()  # a line stays here until it is written completely
        self._queued = 0  # bytes in `_lines`
        self._dropped = 0
        self._reported = 0  # of `_dropped`, in a line of the log
        self._reopen = False
        self._closing = False
        self._abandoned = threading.Event()
        self._written_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Return the number of lines lost since the start."""
        return self._dropped

    def put(self, line: bytes) -> None:
        """Queue a line, newline included. If it does not fit, drop and count it."""
        with self._lock:
            if self._closing or self._queued + len(line) > self._capacity:
                self._dropped += 1
            else:
                self._append(line)

    def reopen(self) -> None:
        """Reopen the file after a log rotation. If that fails, report it and keep the old file. Ignored for streams."""
        with self._lock:
            self._reopen = self._path is not None
            self._changed.notify()

    def close(self, timeout: float) -> None:
        """Write the waiting lines, for at most `timeout` seconds. Drop and count the rest."""
        with self._lock:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)
        # The thread may still wait for the sink. It is a daemon, so it cannot keep the process alive.
        self._abandoned.set()
        with self._lock:
            self._dropped += len(self._lines)
            self._lines.clear()

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        self._queued += len(line)
        # Notify only a thread that sleeps, and once: a notification for each line would cost more than the line.
        if self._queued >= self._wake_at:
            self._wake_at = _NEVER
            self._changed.notify()

    def _run(self) -> None:
        try:
            while self._wait():
                self._reopen_if_wanted()
                self._write_first()
        finally:
            os.close(self._fd)

    def _wait(self) -> bool:
        """Wait for lines, or for `reopen`. Return False if the thread has to end."""
        with self._lock:
            while not self._lines and not self._reopen:
                # Lines were lost. Report it now that the queue is empty: the report is sure to fit.
                if self._dropped > self._reported:
                    lost, self._reported = self._dropped - self._reported, self._dropped
                    self._append(self._note("log_dropped", {"lines": lost}))
                elif self._closing:
                    return False
                else:
                    self._sleep(1)
                    # Woken shortly after a write: let lines gather first, up to a quarter of the queue.
                    gather = self._written_at + GATHER_S - time.monotonic()
                    if gather > 0 and not self._closing and not self._reopen:
                        self._sleep(self._capacity // 4, gather)
            return not self._abandoned.is_set()

    def _sleep(self, wake_at: int, seconds: float | None = None) -> None:
        """Wait until `wake_at` bytes are queued, `reopen` or `close` is called, or `seconds` have passed."""
        if self._queued < wake_at:
            self._wake_at = wake_at
            self._changed.wait(seconds)
            self._wake_at = _NEVER

    def _write_first(self) -> None:
        """Write the first lines of the queue completely. After a full disk, continue a line, do not repeat it."""
        piece = self._first()
        written = 0
        while written < len(piece) and not self._abandoned.is_set():
            if self._reopen_if_wanted():
                written = piece.rfind(b"\n", 0, written) + 1  # begin the interrupted line again in the new file
            try:
                if _writable(self._fd):
                    written += os.write(self._fd, piece[written : written + select.PIPE_BUF])
            except OSError:  # disk full or reader gone: lines wait here, and `put` drops what exceeds the queue
                self._abandoned.wait(PATIENCE_S)
        self._written_at = time.monotonic()
        with self._lock:
            # `close` may have dropped the lines meanwhile.
            for _ in range(min(piece.count(b"\n", 0, written), len(self._lines))):
                self._queued -= len(self._lines.popleft())

    def _first(self) -> bytes:
        """Return as many lines as one write takes, but at least one, or b"" if `close` has dropped them all."""
        with self._lock:
            piece = bytearray()
            for line in self._lines:
                if piece and len(piece) + len(line) > select.PIPE_BUF:
                    break
                piece += line
            return bytes(piece)

    def _reopen_if_wanted(self) -> bool:
        """Reopen the file if that was requested. Return True if a new file is open."""
        with self._lock:
            wanted, self._reopen = self._reopen, False
        if not wanted or self._path is None:
            return False
        try:
            fresh = _open(self._path)
        except OSError as error:
            fields: dict[str, object] = {"path": str(self._path), "error": error.strerror}
            if self._failed is not None:
                self._failed(fields)
            else:
                with self._lock:
                    self._append(self._note("log_reopen_failed", fields))
            return False
        os.close(self._fd)
        self._fd = fresh
        return True


def _open(path: Path) -> int:
    """Open to append.

    O_NONBLOCK: for a FIFO without a reader open(2) fails instead of waiting. O_NOCTTY: a terminal must not become ours.
    """
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK, 0o640)


def _writable(fd: int) -> bool:
    """Return whether at least PIPE_BUF bytes can be written, or the write would fail; wait at most PATIENCE_S."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(PATIENCE_S * 1000))
