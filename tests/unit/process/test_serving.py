"""A worker process: what it is told, and what it tells."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.config.values import Config
from proxy.net.worker import Worker
from proxy.policy import Ended, Reason
from proxy.process import serving
from proxy.tls.errors import TlsSetupError
from tests.unit.net.relay_bed import run
from tests.unit.net.test_worker import Broken, bed


class Open(Broken):
    """An association that keeps what it was ended for."""

    def __init__(self) -> None:
        self.told: list[tuple[Ended, Reason | None, str]] = []

    def end(self, ended: Ended, reason: Reason | None, detail: str, *, at_once: bool = False) -> None:
        self.told.append((ended, reason, detail))


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
def test_what_cannot_be_decided_again_is_ended(
    error: Exception, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new configuration that an old worker cannot build may be one that refuses all that it serves."""
    monkeypatch.setattr(serving, "ListenerTls", failing(error))

    async def scenario() -> None:
        async with bed(tmp_path) as b:
            associations: Any = [Open(), Open()]
            b.worker._established |= set(associations)
            retire(b.worker, with_tls(b.worker.config))
            for association in associations:
                ((ended, reason, detail),) = association.told
                assert (ended, reason) == (Ended.POLICY_CHANGED, Reason.POLICY_CHANGED)
                assert why in detail
            assert b.journal.events == ["recheck_failed"]
            b.worker._established.clear()

    run(scenario)


def retire(worker: Worker, config: Config) -> None:
    process = serving._Serving()
    process._retiring = True  # it has stopped accepting
    process._retire(worker, config)


def with_tls(config: Config) -> Config:
    """The configuration with TLS of some kind on its listener."""
    tls: Any = object()
    return replace(config, listeners=tuple(replace(listener, tls=tls) for listener in config.listeners))
