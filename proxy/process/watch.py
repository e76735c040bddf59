"""Detection of changed files, by their content.

A modification time would miss the swap of the `..data` symlink by which Kubernetes updates a mounted secret.
"""

import glob
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from proxy.config.values import Reload


def fingerprint(files: Iterable[str]) -> Mapping[str, bytes]:
    """Return a digest for each file: of its content; of a pattern, the names that match it; empty if it is missing."""
    found: dict[str, bytes] = {}
    for name in files:
        try:
            found[name] = hashlib.sha256(Path(name).read_bytes()).digest()
        except OSError:
            matching = sorted(glob.glob(name))
            found[name] = hashlib.sha256(repr(matching).encode()).digest() if matching else b""
    return found


def watched(files: Iterable[str], reload: Reload) -> list[str]:
    """Return the files that `reload.watch` selects. `certificates` means every file that is not YAML."""
    if reload.watch == "off":
        return []
    return [name for name in files if reload.watch == "all" or not name.endswith((".yaml", ".yml"))]
