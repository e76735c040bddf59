import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from proxy.observe import writer
from proxy.observe.access import AccessRecord
from proxy.observe.log import LogSink
from tests.support.stopwatch import Stopwatch


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PATIENCE_S", 0.002)
    monkeypatch.setattr(writer, "GATHER_S", 0.002)


@pytest.fixture
def pipe() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The two ends of a pipe: for reading, for writing."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb") as sink:
        yield reader, sink


def events(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def lines_of(path: Path, count: int) -> list[dict[str, Any]]:
    """Return the lines of a file once it has `count` of them."""
    deadline = time.monotonic() + 5
    while True:
        written = path.read_bytes() if path.exists() else b""
        if written.count(b"\n") >= count or time.monotonic() > deadline:
            return events(written)
        os.sched_yield()


def test_events_and_records_share_the_sink_in_order(tmp_path: Path) -> None:
    log = LogSink(tmp_path / "log")
    log.event("info", "started", listener="dicom-tls", absent=None)
    log.event("debug", "unheard")
    log.access(AccessRecord("a1", 0.0, "dicom-tls").to_dict(1.0))
    log.event("error", "failed", error="no\nway")
    log.close()
    first, second, third = events((tmp_path / "log").read_bytes())
    assert first.pop("ts").endswith("Z")
    assert first == {"level": "info", "event": "started", "listener": "dicom-tls"}
    assert (second["event"], second["id"]) == ("association", "a1")
    assert third["error"] == "no\nway"
    assert log.dropped == 0


def test_a_file_is_appended_to_and_private(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for name in ("one", "two"):
        log = LogSink(path)
        log.event("info", name)
        log.close()
    assert [event["event"] for event in events(path.read_bytes())] == ["one", "two"]
    assert path.stat().st_mode & 0o007 == 0


def test_a_file_that_cannot_be_opened_is_an_error_at_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing/log"):
        LogSink(tmp_path / "missing" / "log")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="fifo"):
        LogSink(tmp_path / "fifo")


def test_the_console_form(tmp_path: Path) -> None:
    log = LogSink(tmp_path / "log", format="console")
    log.event("warning", "refused", title="EV\x1bIL")
    log.close()
    assert (tmp_path / "log").read_text().split(" ", 1)[1] == 'WARNING refused title="EV\\u001bIL"\n'


def test_row_116_a_stalled_pipe_drops_and_counts_and_never_blocks(pipe: tuple[IO[bytes], IO[bytes]]) -> None:
    reader, sink = pipe
    log = LogSink(sink, capacity_bytes=10_000)
    watch = Stopwatch()
    for number in range(5_000):
        log.event("info", "filler", number=number, text="x" * 50)
    assert watch.seconds() < 2.0
    dropped = log.dropped
    assert 5_000 > dropped > 3_000  # 64 KiB in the pipe, 10 kB in the queue
    sink.close()
    closing = threading.Thread(target=log.close, daemon=True)
    closing.start()
    written = events(reader.read())  # no line is torn
    closing.join()
    numbers = [event["number"] for event in written if event["event"] == "filler"]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 5_000 - dropped
    assert sum(event["lines"] for event in written if event["event"] == "log_dropped") == dropped == log.dropped


def test_row_116_closing_a_stalled_pipe_takes_its_time_limit_only(pipe: tuple[IO[bytes], IO[bytes]]) -> None:
    _, sink = pipe
    log = LogSink(sink)
    for _ in range(2_000):
        log.event("info", "filler", text="x" * 50)
    watch = Stopwatch()
    log.close(0.01)
    assert watch.seconds() < 1.0
    assert 0 < log.dropped < 2_000
    log.event("info", "too late")
    assert log.dropped > 0


def test_row_116_a_full_disk_is_tried_again_and_loses_nothing_that_fits(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.symlink_to("/dev/full")
    log = LogSink(path)
    log.event("info", "one")
    log.event("info", "two")
    path.unlink()
    log.reopen()
    assert [event["event"] for event in lines_of(path, 2)] == ["one", "two"]
    log.close()
    assert log.dropped == 0


def test_row_116_a_full_disk_fills_the_queue_and_then_drops(tmp_path: Path) -> None:
    with open("/dev/full", "wb", buffering=0) as sink:
        log = LogSink(sink, capacity_bytes=500)
        for _ in range(100):
            log.event("info", "filler")
        assert log.dropped > 80
        log.close(0.01)
    assert log.dropped >= 100


def test_a_reader_that_went_away_is_a_failed_sink(pipe: tuple[IO[bytes], IO[bytes]]) -> None:
    reader, sink = pipe
    reader.close()
    log = LogSink(sink, capacity_bytes=500)
    for _ in range(100):
        log.event("info", "filler")
    log.close(0.01)
    assert log.dropped >= 100


def test_a_line_longer_than_the_queue_is_dropped_and_reported(tmp_path: Path) -> None:
    log = LogSink(tmp_path / "log", capacity_bytes=500)
    log.event("info", "long", text="x" * 500)
    log.event("info", "short")
    log.close()
    assert sorted(event["event"] for event in events((tmp_path / "log").read_bytes())) == ["log_dropped", "short"]


def test_reopen_goes_on_in_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = LogSink(path)
    log.event("info", "before")
    lines_of(path, 1)
    path.rename(tmp_path / "log.1")
    log.reopen()
    log.event("info", "after")
    log.close()
    assert [event["event"] for event in events((tmp_path / "log.1").read_bytes())] == ["before"]
    assert [event["event"] for event in events(path.read_bytes())] == ["after"]


def test_reopen_that_fails_keeps_the_old_file_and_is_logged_there(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "log"
    log = LogSink(path)
    kept = tmp_path / "kept"
    path.rename(kept)
    folder.rmdir()
    log.reopen()
    log.event("info", "after")
    log.close()
    names = {event["event"]: event for event in events(kept.read_bytes())}
    assert names.keys() == {"after", "log_reopen_failed"}
    assert names["log_reopen_failed"]["error"] == "No such file or directory"


def test_a_reopen_that_failed_is_logged_in_another_log(tmp_path: Path) -> None:
    """After a rotation the old file may have been deleted, and a report in it would be lost."""
    application, path = tmp_path / "log", tmp_path / "access"
    log = LogSink(application)
    access = LogSink(path, failures=log)
    path.unlink()
    path.mkdir()
    access.reopen()
    access.close()
    log.close()
    [event] = events(application.read_bytes())
    assert (event["event"], event["path"], event["error"]) == ("log_reopen_failed", str(path), "Is a directory")


def test_a_stream_stays_open_and_reopen_leaves_it_alone(tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as stream:
        log = LogSink(stream)
        log.reopen()
        log.event("info", "one")
        log.close()
        stream.write(b"still open\n")
    with contextlib.suppress(OSError):
        log.reopen()
    assert (tmp_path / "out").read_bytes().endswith(b'"event":"one"}\nstill open\n')


def test_a_full_queue_and_close_do_not_wait_for_more_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GATHER_S", 600)
    log = LogSink(tmp_path / "log", capacity_bytes=10_000)
    for number in range(50):
        log.event("info", "filler", number=number)
    assert len(lines_of(tmp_path / "log", 25)) >= 25
    log.event("info", "last")
    log.close()
    assert len(lines_of(tmp_path / "log", 51)) == 51
    assert log.dropped == 0


def test_reopen_does_not_wait_for_more_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GATHER_S", 600)
    log = LogSink(tmp_path / "log")
    log.event("info", "one")
    assert len(lines_of(tmp_path / "log", 1)) == 1, "a line alone waits for nothing"
    log.event("info", "two")
    log.reopen()
    assert len(lines_of(tmp_path / "log", 2)) == 2
    log.close()


def test_a_pipe_gets_whole_lines_in_each_write(
    pipe: tuple[IO[bytes], IO[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, sink = pipe
    pieces: list[bytes] = []
    write = os.write

    def recorded(fd: int, data: bytes) -> int:
        pieces.append(data)
        return write(fd, data)

    monkeypatch.setattr(os, "write", recorded)
    log = LogSink(sink)
    for number in range(200):
        log.event("info", "filler", number=number, text="x" * (number % 70))
    log.close()
    sink.close()
    assert [event["number"] for event in events(reader.read())] == list(range(200))
    assert all(piece.endswith(b"\n") and len(piece) <= 4096 for piece in pieces)
    assert len(pieces) < 50
