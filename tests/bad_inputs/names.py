"""Names whose meaning a test changes while the gateway runs.

The gateway runs in a mount namespace of its own, where /etc/hosts is a file of the test and nothing else is asked.
"""

from collections.abc import Mapping
from pathlib import Path

from tests.support.listening import need

_BIND = 'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/nsswitch.conf && shift && exec "$@"'


class Names:
    """What names mean to the gateway: `addresses` by name."""

    def __init__(self, folder: Path, addresses: Mapping[str, tuple[str, ...]]) -> None:
        """Skips the test where this cannot be done; with DICOMGATE_REQUIRE_PEERS=1 that is a failure."""
        need("unshare")
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
        self._hosts.write_text("".join(["127.0.0.1 localhost\n", *lines]))  # in place: it is the file that is mounted

    def launcher(self) -> list[str]:
        """The command to put in front of the gateway."""
        return ["unshare", "--mount", "--map-root-user", "sh", "-c", _BIND, str(self._hosts), str(self._only_files)]
