"""Reloads: a configuration is loaded, checked and proved completely before the serving generation is touched.

The steps, in this order: read and check every file; build all TLS contexts and let them shake hands with themselves;
bind addresses; start a new generation of workers; only then stop the old one from accepting. An error at any step
leaves the old generation unchanged (invariant 7, docs/architecture.md). The outcome is logged, counted and returned to
the requester.
"""

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

_LONGEST_INTERVAL = 3600.0  # seconds between two checks of the files: asyncio's timers do not take years
_ERRORS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The outcome of a reload."""

    ok: bool
    text: str


class ReloadOwner(Protocol):
    """The part of the supervisor that a reload calls."""

    config: Config

    def cannot_reload(self) -> str | None:
        """Return the obstacle to a reload now, or None."""

    async def change_to(self, config: Config, contexts: Mapping[str, UpstreamContext]) -> str:
        """Start a generation that serves `config`, retire the others, and return a sentence about the new state.

        Raises `BindError`, `StartFailed` and OSError; then nothing has changed.
        """

    def reload_begins(self) -> None:
        """Called when a reload begins."""

    def reload_ended(self, trigger: str, outcome: Reloaded) -> None:
        """Called when a reload has ended."""


def prove(config: Config) -> dict[str, UpstreamContext]:
    """Build every TLS context, and let each listener shake hands with itself. Raises `TlsSetupError`.

    Return the contexts of upstreams, by name, for the health checks.
    """
    for listener in config.listeners:
        if listener.tls is not None:
            ListenerTls(listener).self_test()
    return upstream_contexts(config.upstreams.values())


def keys_for_a_restart(before: Config, after: Config) -> str:
    """Return the changed keys of the supervisor itself. A reload does not apply them: it replaces only workers."""
    keys = ("log", "admin", "control")
    return ", ".join(key for key in keys if getattr(before, key) != getattr(after, key))


class Reloads:
    """Runs one reload at a time.

    Requests that arrive while one runs share the next one: the running reload may have read its files before they
    changed, and one more reading is enough for all requests. `files`: the files that the configuration was read from.
    """

    def __init__(self, owner: ReloadOwner, files: Sequence[str]) -> None:
        self._owner = owner
        self._files = list(files)
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[Reloaded] | None = None  # not begun yet: further requests join it
        self._tasks: set[asyncio.Task[Reloaded]] = set()

    async def reload(self, trigger: str) -> Reloaded:
        """Load the configuration again and return the outcome. `trigger`: signal, api or watch."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._in_turn(trigger))
            self._tasks.add(self._next)
            self._next.add_done_callback(self._tasks.discard)
        reload = self._next
        try:
            # Shielded: a requester that disconnects must not cancel the reload of the others.
            return await asyncio.shield(reload)
        except asyncio.CancelledError:
            # Either this requester was cancelled or, by `close`, the reload. Only the second has an answer.
            if not reload.cancelled():
                raise
            return Reloaded(False, "the gateway is stopping")

    async def close(self) -> None:
        """Cancel the running reload, which ends the workers that it has started."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def fingerprint(self) -> Mapping[str, bytes]:
        """Return a digest of each watched file. Reads them all: call it in a thread while the gateway serves."""
        return fingerprint(watched(self._files, self._owner.config.reload))

    async def watch(self, seen: Mapping[str, bytes]) -> None:
        """Reload whenever the watched files differ from `seen`, until cancelled."""
        while True:
            await asyncio.sleep(min(self._owner.config.reload.interval, _LONGEST_INTERVAL))
            now = await asyncio.to_thread(self.fingerprint)
            if now != seen and now:  # empty: `reload.watch` selects no file
                await self.reload("watch")
                after = await asyncio.to_thread(self.fingerprint)
                # Keep the digests from before the reload: it may have read a file before that file changed, and the
                # next check must see the change. Take the names from after it: the includes may have changed.
                now = {name: now.get(name, digest) for name, digest in after.items()}
            seen = now

    async def _in_turn(self, trigger: str) -> Reloaded:
        async with self._turn:
            self._next = None  # files are read from here on: later requests need another reload
            self._owner.reload_begins()
            try:
                outcome = await self._reload()
            except Exception as error:  # noqa: BLE001 - a bug here must neither stop the service nor go unreported
                outcome = Reloaded(False, f"internal error, please report it: {error!r}")
            self._owner.reload_ended(trigger, outcome)
            return outcome

    async def _reload(self) -> Reloaded:
        why_not = self._owner.cannot_reload()
        if why_not is not None:
            return Reloaded(False, why_not)
        loaded = await asyncio.to_thread(load, Path(self._owner.config.path), environ=os.environ)
        # After a failed load too: the correction may be made in a file that is included only now.
        self._files = list(loaded.files)
        if loaded.config is None:
            errors = [str(finding) for finding in loaded.findings if finding.severity == "error"]
            more = len(errors) - _ERRORS_SHOWN
            return Reloaded(False, "; ".join(errors[:_ERRORS_SHOWN]) + (f"; and {more} more" if more > 0 else ""))
        try:
            contexts = await asyncio.to_thread(prove, loaded.config)
            return Reloaded(True, await self._owner.change_to(loaded.config, contexts))
        except (TlsSetupError, BindError, StartFailed, OSError) as error:
            return Reloaded(False, str(error))
