"""Configurations for tests: text in, findings out."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

from proxy.config.load import Loaded, load
from tests.support import certs

PLAIN = """\
version: 1
listeners:
  plain:
    bind: ["127.0.0.1:11112"]
    networks: [127.0.0.1]
    tenants: [hospital]
tenants:
  hospital:
    called_aets: [MAINPACS]
    upstream: pacs
    peers:
      - {aet: CT1, allow: [all]}
upstreams:
  pacs: {servers: [{address: "10.20.0.5:104"}]}
"""

TLS = """\
version: 1
listeners:
  tls:
    bind: ["127.0.0.1:2762"]
    tls:
      certificates: [{chain: pacs.pem, key: {file: pacs.key}}]
tenants:
  hospital:
    called_aets: [MAINPACS]
    upstream: pacs
    peers:
      - {aet: CT1, from: [10.20.1.11], allow: [all]}
upstreams:
  pacs: {servers: [{address: "10.20.0.5:104"}]}
"""


def write(folder: Path, text: str, name: str = "config.yaml") -> Path:
    """A configuration file in `folder`."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def write_pair(folder: Path, issued: certs.Issued, name: str) -> None:
    """`name`.pem and `name`.key, the key for the owner alone."""
    folder.joinpath(f"{name}.pem").parent.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.pem").write_bytes(issued.chain_pem)
    write_key(folder / f"{name}.key", issued.key_pem)


def write_key(path: Path, data: bytes) -> None:
    """A private key, for the owner alone."""
    path.touch(0o600)
    path.write_bytes(data)


def load_text(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Loaded:
    """Load `text` as `config.yaml` in `folder`."""
    return load(write(folder, text), environ=environ or {})


def findings(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """`CODE where: path: message` of every finding, without the folder."""
    loaded = load_text(folder, text, environ)
    return [f"{finding.code} {finding}".replace(f"{folder}/", "") for finding in loaded.findings]
