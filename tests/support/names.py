"""Names whose meaning a test changes while the gateway runs.

The gateway runs in a mount namespace of its own, where /etc/hosts is a file of the test and nothing else is asked.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path

from tests.support.namespaces import mounted


class Names:
    """The addresses that names resolve to in the gateway: `addresses` by name."""

    def __init__(self, folder: Path, addresses: Mapping[str, tuple[str, ...]]) -> None:
        self._hosts = folder / "hosts"
        self._only_files = folder / "nsswitch.conf"
        self._only_files.write_text("hosts: files\n")
        self._addresses = dict(addresses)
        self._write()

    def mean(self, name: str, *addresses: str) -> None:
        """From now on `name` has these addresses."""
        self._addresses[name] = addresses
        self._write()

    def _write(self) -> None:
        lines = [f"{address} {known}\n" for known, found in self._addresses.items() for address in found]
        self._hosts.write_text("".join(["127.0.0.1 localhost\n", *lines]))  # in place: this file is mounted

    def launcher(self) -> tuple[str, ...]:
        """The command to put in front of the gateway. Skips the test where there is no such namespace."""
        mounts = {self._hosts: "/etc/hosts", self._only_files: "/etc/nsswitch.conf"}
        return mounted(*(f"mount --bind {shlex.quote(str(file))} {place}" for file, place in mounts.items()))
