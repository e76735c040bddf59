"""A worker process: the orders it receives and the messages it sends."""

import pickle
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy import __version__
from proxy.config.values import Config
from proxy.net.association_end import AssociationEnd
from proxy.net.worker import Worker
from proxy.policy import Ended, Reason
from proxy.process import serving
from proxy.process.messages import Report
from proxy.tls.errors import TlsSetupError
from tests.unit.net.test_worker import Broken, bed


class Open(Broken):
    """An association that keeps the reason of its end."""

    def __init__(self) -> None:
        self.ends: list[AssociationEnd] = []

    def end(self, end: AssociationEnd, *, at_once: bool = False) -> None:
        self.ends.append(end)


def failing(error: Exception) -> Callable[[Any], Any]:
    def build(listener: Any) -> Any:
        raise error

    return build


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (TlsSetupError("gate.key", "cannot be read"), "gate.key: cannot be read"),
        (OSError(24, "Too many open files"), "Too many open files"),
        (MemoryError(), "MemoryError"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_associations_that_cannot_be_decided_again_are_ended(
    error: Exception, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new configuration that an old worker cannot build may refuse every association it serves."""
    monkeypatch.setattr(serving, "ListenerTls", failing(error))

    async with bed(tmp_path) as b:
        associations: Any = [Open(), Open()]
        b.worker._established |= set(associations)
        retire(b.worker, with_tls(b.worker.station.config))
        for association in associations:
            (end,) = association.ends
            assert (end.ended, end.reason) == (Ended.POLICY_CHANGED, Reason.POLICY_CHANGED)
            assert why in end.detail
        assert b.journal.events == ["recheck_failed"]
        b.worker._established.clear()


def retire(worker: Worker, config: Config) -> None:
    process = serving._Serving()
    process._retiring = True  # it has stopped accepting
    process._retire(worker, config)


def with_tls(config: Config) -> Config:
    """Return the configuration with TLS on its listeners."""
    tls: Any = object()
    return replace(config, listeners=tuple(replace(listener, tls=tls) for listener in config.listeners))


def test_a_worker_of_another_version_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package was updated while the gateway ran, and the messages may have changed."""
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(sys, "argv", ["serving", str(theirs.detach()), "0.0.1"])
    serving.main()
    with ours, ours.makefile("rb") as reader:
        (size,) = struct.unpack(">I", reader.read(4))
        kind, why = pickle.loads(reader.read(size))
        assert reader.read() == b""
    assert kind == Report.FAILED and __version__ in why and "0.0.1" in why and "restart" in why
