"""Reloads: the configuration is loaded, checked and proven whole before anything that serves is touched."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from proxy.config.load import load
from proxy.config.values import Config
from proxy.process.generation import StartFailed
from proxy.process.sockets import BindError
from proxy.process.watch import fingerprint, watched
from proxy.tls.contexts import ListenerTls
from proxy.tls.errors import TlsSetupError
from proxy.tls.upstreams import UpstreamContext, upstream_contexts


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The outcome of a reload."""

    ok: bool
    text: str


class Host(Protocol):
    """What serves."""

    config: Config

    def cannot_reload(self) -> str | None:
        """Why no other configuration may serve now."""

    async def change_to(self, config: Config, contexts: Mapping[str, UpstreamContext]) -> str:
        """Have a new generation serve `config`; what it is, in words.

        Raises `BindError`, `StartFailed` and OSError; then nothing has changed.
        """

    def reload_begins(self) -> None:
        """A reload is under way."""

    def reload_ended(self, trigger: str, outcome: Reloaded) -> None:
        """It is over."""


def prove(config: Config) -> dict[str, UpstreamContext]:
    """Build every TLS context, and let those of the listeners shake hands with themselves. Raises `TlsSetupError`.

    Those of the upstreams, by their name, are for the health checks.
    """
    for listener in config.listeners:
        if listener.tls is not None:
            ListenerTls(listener).self_test()
    return upstream_contexts(config.upstreams.values())


class Reloads:
    """One at a time; those asked for while one runs are one behind it. `files`: those that the configuration is in."""

    def __init__(self, host: Host, files: Sequence[str]) -> None:
        self._host = host
        self._files = list(files)
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[Reloaded] | None = None
        self._tasks: set[asyncio.Task[Reloaded]] = set()

    async def reload(self, trigger: str) -> Reloaded:
        """Load the configuration again."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._in_turn(trigger))
            self._tasks.add(self._next)
            self._next.add_done_callback(self._tasks.discard)
        reload = self._next
        try:
            return await asyncio.shield(reload)
        except asyncio.CancelledError:
            if not reload.cancelled():
                raise
            return Reloaded(False, "the gateway ends")

    async def close(self) -> None:
        """End one that is under way; it takes its new workers back."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def fingerprint(self) -> Mapping[str, bytes]:
        """What is in the watched files now. It reads them all."""
        return fingerprint(watched(self._files, self._host.config.reload))

    async def watch(self, seen: Mapping[str, bytes]) -> None:
        """Reload when the watched files are others than `seen`, for ever."""
        while True:
            await asyncio.sleep(min(self._host.config.reload.interval, 3600.0))
            now = await asyncio.to_thread(self.fingerprint)
            if now != seen and now:
                await self.reload("watch")
                after = await asyncio.to_thread(self.fingerprint)
                # What changed while the reload ran may have come too late for it: the next look is to see that.
                now = {name: now.get(name, digest) for name, digest in after.items()}
            seen = now

    async def _in_turn(self, trigger: str) -> Reloaded:
        async with self._turn:
            self._next = None
            self._host.reload_begins()
            try:
                outcome = await self._reload()
            except Exception as error:  # noqa: BLE001 - the generation that serves goes on, and the failure is told
                outcome = Reloaded(False, f"a bug of the gateway: {error!r}")
            self._host.reload_ended(trigger, outcome)
            return outcome

    async def _reload(self) -> Reloaded:
        why_not = self._host.cannot_reload()
        if why_not is not None:
            return Reloaded(False, why_not)
        loaded = await asyncio.to_thread(load, Path(self._host.config.path), environ=os.environ)
        self._files = list(loaded.files)
        if loaded.config is None:
            errors = [str(finding) for finding in loaded.findings if finding.severity == "error"]
            return Reloaded(False, "; ".join(errors[:5]) + (f"; and {len(errors) - 5} more" if len(errors) > 5 else ""))
        try:
            contexts = await asyncio.to_thread(prove, loaded.config)
            return Reloaded(True, await self._host.change_to(loaded.config, contexts))
        except (TlsSetupError, BindError, StartFailed, OSError) as error:
            return Reloaded(False, str(error))
