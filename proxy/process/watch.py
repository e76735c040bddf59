"""Detection of changed files, by their content.

Kubernetes updates a mounted secret by swapping the `..data` symlink, which need not change a modification time.
"""

import glob
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from proxy.config.values import Reload


def fingerprint(files: Iterable[str]) -> Mapping[str, bytes]:
    """Return a digest for each file: of its content, or for a glob pattern of the names that match; b"" if missing."""
    found: dict[str, bytes] = {}
    for name in files:
        try:
            found[name] = hashlib.sha256(Path(name).read_bytes()).digest()
        except OSError:
            # A pattern of `include` is watched itself, because a new file that matches it is a change.
            matching = sorted(glob.glob(name))
            found[name] = hashlib.sha256(repr(matching).encode()).digest() if matching else b""
    return found


def watched(files: Iterable[str], reload: Reload) -> list[str]:
    """Return the files that `reload.watch` selects: none, all, or for `certificates` all that are not YAML."""
    if reload.watch == "off":
        return []
    return [name for name in files if reload.watch == "all" or not name.endswith((".yaml", ".yml"))]
