"""The folder of the demo: a PKI, made at the first start, and the configuration, written at every start.

DIR/pki/            the CA, the gateway's certificates, and one of modality CT1
DIR/config.yaml     two tenants on one address
DIR/ct.dcm          the image that the tour sends
DIR/NORTHPACS/, DIR/SOUTHPACS/    the instances that each PACS has stored
DIR/gateway.log     the log of the gateway
"""

import datetime
import socket
import string
from dataclasses import dataclass
from pathlib import Path

from proxy.pki.authority import Pki
from proxy.pki.issuing import Names

NORTH_NAME, SOUTH_NAME = "north.pacs.example", "south.pacs.example"
NORTH_TITLE, SOUTH_TITLE = "NORTHPACS", "SOUTHPACS"

_CONFIGURATION = string.Template("""\
# Every start of `dicomgate demo` overwrites this file: copy it before you change it.
version: 1
admin: {listen: "127.0.0.1:$admin"}
timeouts: {drain: 2s}

listeners:
  dicom-tls:
    bind: ["127.0.0.1:$port"]
    tls:
      certificates:
        - {chain: pki/issued/gateway/chain.pem, key: {file: pki/issued/gateway/key.pem}}
        - {chain: pki/issued/gateway-rsa/chain.pem, key: {file: pki/issued/gateway-rsa/key.pem}}
      client_auth: {mode: optional, ca: pki/ca.pem}

tenants:
  north:                          # peers are known by AE title and address
    server_names: [$north_name]
    called_aets: [$north_title]
    upstream: north-pacs
    peers:
      - {name: modalities, aet: [CT1, DICOMGATE], from: [127.0.0.1], allow: [all]}
  south:                          # peers must show a client certificate
    server_names: [$south_name]
    tls: {client_auth: {mode: required}}
    called_aets: [$south_title]
    upstream: south-pacs
    peers:
      - {aet: CT1, cert: {san_dns: [ct1.example]}, allow: [all]}

upstreams:
  north-pacs: {servers: [{address: "127.0.0.1:$north_port"}]}
  south-pacs: {servers: [{address: "127.0.0.1:$south_port"}]}
""")


@dataclass(frozen=True, slots=True)
class Site:
    """The paths and ports of the demo."""

    folder: Path
    port: int
    admin: int

    @property
    def config(self) -> Path:
        """The configuration of the gateway."""
        return self.folder / "config.yaml"

    @property
    def ca(self) -> Path:
        """The CA certificates that gateway and devices trust."""
        return self.folder / "pki" / "ca.pem"

    @property
    def device_chain(self) -> Path:
        """The certificate of modality CT1, with its chain."""
        return self.folder / "pki" / "issued" / "CT1" / "chain.pem"

    @property
    def device_key(self) -> Path:
        """The private key of modality CT1."""
        return self.folder / "pki" / "issued" / "CT1" / "key.pem"

    @property
    def image(self) -> Path:
        """The image that the tour sends."""
        return self.folder / "ct.dcm"

    def prepare(self, north_port: int, south_port: int) -> None:
        """Make the PKI if there is none, and write the configuration. Raises OSError, PkiError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _make_pki(self.folder / "pki")
        text = _CONFIGURATION.substitute(
            port=self.port,
            admin=self.admin,
            north_name=NORTH_NAME,
            south_name=SOUTH_NAME,
            north_title=NORTH_TITLE,
            south_title=SOUTH_TITLE,
            north_port=north_port,
            south_port=south_port,
        )
        self.config.write_text(text)


def free_port(preferred: int) -> int:
    """Return the preferred port of 127.0.0.1, or another one if it is taken. Raises OSError.

    The port is not held: another process may take it before the caller's server binds it.
    """
    for port in (preferred, 0):
        with socket.socket() as probe:
            # As the servers do: connections of an earlier run in TIME_WAIT do not make a port taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no port of 127.0.0.1 is free")


def _make_pki(folder: Path) -> None:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    pki = Pki.open(folder) if folder.exists() else Pki.create(folder, "dicomgate demo", now)
    # Keep valid certificates of an earlier run: a user may have installed them.
    valid = {e.name for e in pki.entries() if not e.revoked and datetime.datetime.fromisoformat(e.not_after) > now}
    gateway = Names.parse([NORTH_NAME, SOUTH_NAME, "localhost"], (), ["127.0.0.1"])
    if "gateway" not in valid:
        pki.issue("gateway", gateway, now, usage=("server",), renew=True)
    if "gateway-rsa" not in valid:  # for senders that know RSA suites only
        pki.issue("gateway-rsa", gateway, now, usage=("server",), key_type="rsa", renew=True)
    if "CT1" not in valid:
        pki.issue("CT1", Names.parse(["ct1.example"], (), ()), now, renew=True)
