"""Notices changed files by their content, so that a swapped `..data` symlink of Kubernetes is seen like any other."""

import glob
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from proxy.config.values import Reload


def fingerprint(files: Iterable[str]) -> Mapping[str, bytes]:
    """File -> a digest of what is in it now; of a pattern, of the names that match. Empty where there is nothing."""
    found: dict[str, bytes] = {}
    for name in files:
        try:
            found[name] = hashlib.sha256(Path(name).read_bytes()).digest()
        except OSError:
            matching = sorted(glob.glob(name))
            found[name] = hashlib.sha256(repr(matching).encode()).digest() if matching else b""
    return found


def watched(files: Iterable[str], reload: Reload) -> list[str]:
    """Those of the configuration's files that `reload.watch` is about. Certificates are all that is not YAML."""
    if reload.watch == "off":
        return []
    return [name for name in files if reload.watch == "all" or not name.endswith((".yaml", ".yml"))]
