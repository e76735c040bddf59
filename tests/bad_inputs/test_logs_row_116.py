"""Row 116: the log is not read. Associations go on; lost lines are counted, and reported when it is read again.

The sinks of this gateway are standard output and a file: a log service that is down is a pipe without a reader.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.pdu import parse_associate_rq
from tests.support.client import IMPLICIT_LE, VERIFICATION, client_context, connect, echo, release, request
from tests.support.gateway import Gateway, Record
from tests.support.namespaces import mounted
from tests.support.pacs import Pacs, Visit
from tests.support.pdus import CT_IMAGE_STORAGE, encode_associate_ac
from tests.support.processes import until
from tests.support.site import Site, port_of

#: More of them than log lines may wait: each context that the PACS refused is in the record.
ASSOCIATIONS = 150
CONTEXTS = [(1, VERIFICATION, (IMPLICIT_LE,)), *((id, CT_IMAGE_STORAGE, (IMPLICIT_LE,)) for id in range(3, 256, 2))]


def reluctant(visit: Visit) -> None:
    """A PACS that takes Verification alone, so that records are long."""
    visit.request = visit.wire.receive_pdu()
    asked = parse_associate_rq(visit.request)
    answers = [(c.context_id, 0 if c.context_id == 1 else 3, IMPLICIT_LE) for c in asked.presentation_contexts]
    visit.wire.send(encode_associate_ac(asked.called.title, asked.calling.title, answers))
    visit.until_end(visit.wire.send, keep=False)


@pytest.fixture
def config(site: Site, tmp_path: Path) -> Iterator[Record]:
    with Pacs(reluctant) as pacs:
        yield site.one_tenant(pacs.port, control=str(tmp_path / "control.sock"))


def serve_many(gateway: Gateway) -> None:
    """Associations with long records, each of them served."""
    context = client_context()
    for number in range(ASSOCIATIONS):
        wire = connect(port_of(gateway.config), context)
        wire.send(request(calling=f"CT{number}", contexts=CONTEXTS))
        assert wire.receive_pdu()[0] == 2
        echo(wire)
        release(wire)


def check(gateway: Gateway, lines: list[Record]) -> None:
    """Check that each line except the counted lost ones is there, whole, and that the loss is reported."""
    records = [line for line in lines if line["event"] == "association"]
    said = sum(line["lines"] for line in lines if line["event"] == "log_dropped")
    assert said == gateway.metric("log_dropped_total") > 0
    assert ASSOCIATIONS <= len(records) + said <= ASSOCIATIONS + 5  # lines of the application log
    assert len({record["id"] for record in records}) == len(records)


def test_row_116_disk_full(config: Record, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    """The disk of the access log, and later there is room again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    config["access_log"] = {"path": str(disk / "access.log")}
    fill = f"dd if=/dev/zero of={disk}/filler bs=1k count=4000 status=none"
    gateway = start_gateway(config, launcher=mounted(f"mount -t tmpfs -o size=4m none {disk}", fill))
    seen = Path(f"/proc/{gateway.pid}/root{disk}")
    serve_many(gateway)
    until(lambda: gateway.metric("log_dropped_total") > 0, "lines are dropped")
    assert gateway.get("/readyz")[0] == 200
    (seen / "filler").unlink()
    log = seen / "access.log"
    until(lambda: b"log_dropped" in log.read_bytes().rpartition(b"\n")[0], "the loss is said")
    check(gateway, [json.loads(line) for line in log.read_bytes().splitlines()])


def test_row_116_log_pipe_stalled(config: Record, tmp_path: Path) -> None:
    """The reader of standard output stops, and goes on later."""
    with pipe_of(config, tmp_path) as (gateway, reader):
        serve_many(gateway)
        until(lambda: gateway.metric("log_dropped_total") > 0, "lines are dropped")
        assert gateway.get("/readyz")[0] == 200
        os.set_blocking(reader, True)
        text = read_until_the_loss_is_said(reader)
        check(gateway, [json.loads(line) for line in text.splitlines()])


def test_row_116_log_service_down(config: Record, tmp_path: Path) -> None:
    """The pipe loses its reader; another one opens it later."""
    with pipe_of(config, tmp_path) as (gateway, reader):
        path = tmp_path / "stdout"
        empty = os.open("/dev/null", os.O_RDONLY)
        os.dup2(empty, reader)  # closes the pipe
        os.close(empty)
        serve_many(gateway)
        until(lambda: gateway.metric("log_dropped_total") > 0, "lines are dropped")
        assert gateway.get("/readyz")[0] == 200
        again = os.open(path, os.O_RDONLY)
        os.dup2(again, reader)
        os.close(again)
        text = read_until_the_loss_is_said(reader)
        assert all(isinstance(json.loads(line), dict) for line in text.splitlines()[1:])  # the first may be cut


def test_row_116_supervisor_that_hangs(config: Record, start_gateway: Callable[..., Gateway]) -> None:
    """Only the supervisor writes. Lines wait in the worker, the last ones are lost and counted, associations go on."""
    gateway = start_gateway(config)
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        serve_many(gateway)
    finally:
        os.kill(gateway.pid, signal.SIGCONT)
    until(lambda: gateway.metric("log_dropped_total") > 0, "dropped lines are counted")
    lost = gateway.metric("log_dropped_total")
    until(lambda: len(gateway.records) + lost == ASSOCIATIONS, "all others are written")


def read_until_the_loss_is_said(descriptor: int) -> bytes:
    text = b""
    while b"log_dropped" not in text or not text.endswith(b"\n"):
        text += os.read(descriptor, 1 << 16)
    return text


@contextmanager
def pipe_of(config: Record, tmp_path: Path) -> Iterator[tuple[Gateway, int]]:
    """A gateway whose standard output is an unread pipe, and the reading end of it."""
    path = tmp_path / "stdout"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    gateway = Gateway(tmp_path / "gateway", config, launcher=("sh", "-c", f'exec "$@" >{path}', "sh"))
    try:
        yield gateway, reader
    finally:
        code = gateway.child.end()
        os.close(reader)
    assert code == 0 and not [line for line in gateway.child.errors if "Traceback" in line], gateway.child.errors
