"""The usual site of a test: a folder with certificates, and configurations that point to them."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import certs
from tests.support.configs import write_pair
from tests.support.gateway import configuration
from tests.support.ports import free_port

HOST = "gate.example.org"


@dataclass
class Site:
    """`folder` holds ca.pem, gate.pem/.key (of HOST), ct1.pem/.key (a client), and what `pair` adds."""

    folder: Path
    kind: str = "p256"
    root: certs.Issued = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root = certs.ca("Site CA", kind=self.kind)
        (self.folder / "ca.pem").write_bytes(self.root.pem)
        self.pair("gate", certs.server(HOST, self.root, kind=self.kind))
        self.pair("ct1", certs.leaf("CT1", self.root, kind=self.kind))

    def path(self, name: str) -> Path:
        return self.folder / name

    def pair(self, name: str, issued: certs.Issued) -> None:
        """Write NAME.pem and NAME.key."""
        write_pair(self.folder, issued, name)

    def certificate(self, name: str = "gate") -> dict[str, Any]:
        """An entry of `certificates` for NAME.pem and NAME.key."""
        return {"chain": str(self.path(f"{name}.pem")), "key": {"file": str(self.path(f"{name}.key"))}}

    def listener(self, port: int, *, certificate: str = "gate", **tls: Any) -> dict[str, Any]:
        """A TLS listener on 127.0.0.1; `tls` adds profile, client_auth."""
        return {"bind": [f"127.0.0.1:{port}"], "tls": {"certificates": [self.certificate(certificate)], **tls}}

    def server_context(self, certificate: str = "gate", *, client_ca: bool = False) -> ssl.SSLContext:
        """The TLS context of a PACS with NAME.pem; `client_ca`: it demands a client certificate of the site."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path(f"{certificate}.pem"), self.path(f"{certificate}.key"))
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.path("ca.pem"))
        return context

    def upstream_tls(self, *, client: str | None = None, **more: Any) -> dict[str, Any]:
        """`tls` of an upstream that is HOST by the site's CA; `client`: with NAME.pem as our certificate."""
        own = {}
        if client is not None:
            own = {
                "certificate": str(self.path(f"{client}.pem")),
                "key": {"file": str(self.path(f"{client}.key"))},
            }
        return {"server_name": HOST, "ca": str(self.path("ca.pem")), **own, **more}

    def upstream(self, port: int, **tls: Any) -> dict[str, Any]:
        """An upstream with TLS on 127.0.0.1; `tls` as of `upstream_tls`."""
        return {"servers": [{"address": f"127.0.0.1:{port}"}], "tls": self.upstream_tls(**tls)}

    def one_tenant(self, upstream: int | dict[str, Any], *, port: int | None = None, **changes: Any) -> dict[str, Any]:
        """One TLS listener, one tenant: any sender may call MAINPACS. `upstream`: a port, or the whole upstream.

        `changes`: peers, called_aets, tls, timeouts, ...
        """
        tls = changes.pop("tls", {})
        tenant = {
            "called_aets": changes.pop("called_aets", ["MAINPACS"]),
            "upstream": "pacs",
            "peers": changes.pop("peers", [{"aet": "*", "allow": ["all"]}]),
        }
        listener = {**self.listener(port or free_port(), **tls), **changes.pop("listener", {})}
        return configuration({"dicom-tls": listener}, {"hospital": tenant}, {"pacs": upstream}, **changes)


def port_of(config: dict[str, Any], listener: str = "dicom-tls") -> int:
    """The port of the first address that a listener binds."""
    return int(config["listeners"][listener]["bind"][0].rpartition(":")[2])
