"""A configuration on disk with two tenants by SNI, and its certificates."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import certs

CONFIG = """\
version: 1
listeners:
  dicom-tls:
    bind: ["127.0.0.1:2762"]
    networks: [127.0.0.0/8, 10.0.0.0/8]
    tls:
      certificates: [{chain: server.pem, key: {file: server.key}}]
      client_auth: {mode: optional, ca: ca.pem}
tenants:
  north:
    server_names: [north.example.org]
    networks: [10.1.0.0/16]
    called_aets: [PACSN]
    upstream: pacs
    peers:
      - {aet: CT1, from: [10.1.0.11], allow: [all]}
  south:
    server_names: [south.example.org]
    tls: {client_auth: {mode: required}}
    called_aets: [PACSS]
    upstream: pacs
    peers:
      - {aet: MR1, cert: {san_dns: [mr1.example.org]}, allow: [all]}
      - {aet: US1, cert: {file: [us1.pem]}, allow: [all]}
upstreams:
  pacs: {servers: [{address: "10.9.0.1:104"}]}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that writes the configuration with some text replaced; $DICOMGATE_CONFIG names the file."""
    ca = certs.ca("Device CA")
    names = ["north.example.org", "south.example.org"]
    validity = (certs.now() - certs.DAY, certs.now() + 90 * certs.DAY)
    server = certs.leaf("gate", certs.ca("Server CA"), eku=[certs.SERVER], dns=names, valid=validity)
    files = {
        "ca.pem": ca.pem,
        "server.pem": server.chain_pem,
        "mr1.pem": certs.leaf("MR1", ca, dns=["mr1.example.org"]).pem,
        "mr2.pem": certs.leaf("MR2", ca, dns=["mr2.example.org"]).pem,
        "mail.pem": certs.leaf("MAIL", ca, eku=[certs.EMAIL], dns=["mr1.example.org"]).pem,
        "old.pem": certs.leaf("MR1", ca, valid=(certs.now() - 9 * certs.DAY, certs.now() - certs.DAY)).pem,
        "us1.pem": certs.self_signed("US1").pem,
        "stranger.pem": certs.self_signed("US1", slot="stranger").pem,
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    key = tmp_path / "server.key"
    key.write_bytes(server.key_pem)
    key.chmod(0o600)
    path = tmp_path / "config.yaml"

    def write(*replacements: tuple[str, str]) -> Path:
        text = CONFIG
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        path.write_text(text)
        return path

    write()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DICOMGATE_CONFIG", "config.yaml")
    return write
