"""The configuration of the bed: every kind of listener, a tenant per rule about client certificates, and their PKI."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bad_inputs.hostile import OPEN
from tests.support import certs
from tests.support.configs import write_pair
from tests.support.gateway import configuration
from tests.support.ports import free_port

#: Each has one deadline (invariant 6, docs/architecture.md).
_STAGES = ("proxy_header", "client_hello", "tls_handshake", "artim")
#: Long enough that an earlier end was not a timeout, and that slow rows of other kinds do not run into it.
TIMEOUTS = {**dict.fromkeys(_STAGES, "30s"), "close": "500ms", "upstream_connect": "2s"}
#: For rows that wait for the deadlines: seconds, and when the end is too late, on a machine that is shared.
STAGE, LATE = 2.0, 3.9
HASTY = dict.fromkeys(_STAGES, f"{STAGE:.0f}s")
REQUEST_CAP = 256 * 1024
EVERYBODY = {"aet": "*", "allow": ["all"]}
SIXTEEN = "EXACTLY16LETTERS"


def bound(aet: str, **cert: Any) -> dict[str, Any]:
    """A peer entry that is bound to a certificate."""
    return {"aet": aet, "cert": cert, "allow": ["all"]}


class Pki:
    """Certificates of the bed, all in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = certs.ca("Server root")
        self.ca = {name: certs.ca(f"CA {name}") for name in ("a", "b", "c", "d")}
        self.ct1 = certs.leaf("CT1", self.ca["a"], dns=["ct1.example.org"])
        self.revoked = certs.leaf("REVOKED", self.ca["a"])
        self.devices = {name: certs.self_signed(name) for name in ("DEV1", "DEV2")}
        for kind in ("p256", "rsa2048"):
            issued = certs.server(OPEN, self.root, dns=["*.example.org"], kind=kind)
            write_pair(folder, issued, f"gate-{kind}")
        for name, authority in self.ca.items():
            self.write(f"ca-{name}.pem", authority.pem)
        for name, device in self.devices.items():
            self.write(f"{name}.pem", device.pem)
        past = certs.now() - certs.DAY
        self.write("a.crl.pem", certs.crl(self.ca["a"], [self.revoked]))
        self.write("d.crl.pem", certs.crl(self.ca["d"], last_update=past - certs.DAY, next_update=past))

    def write(self, name: str, data: bytes) -> str:
        """Write a file; its path, for the configuration."""
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def certificates(self) -> list[dict[str, Any]]:
        """The gateway's own, ECDSA and RSA."""
        names = ("gate-p256", "gate-rsa2048")
        return [{"chain": self.path(f"{n}.pem"), "key": {"file": self.path(f"{n}.key")}} for n in names]


LISTENERS = ("tls", "reject", "modified", "dhe", "legacy", "plain", "proxied", "proxied-plain")
#: The senders of PROXY headers that the last two trust: the addresses of `Bed.address`, not all of loopback.
LOAD_BALANCERS = "127.0.0.0/9"


def bed_configuration(
    pki: Pki,
    upstream: int,
    *,
    routes: Mapping[str, int | str | dict[str, Any]] | None = None,
    timeouts: Mapping[str, str] | None = None,
    peers: Sequence[dict[str, Any]] = (),
    ports: Mapping[str, int] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Eight listeners; a tenant per rule about certificates, each with a server name and a called AE title of its own.

    `routes`: further called AE titles of the tenant `open`, and where each leads: a port of 127.0.0.1, or an address,
    which may have a listener of the bed in place of the port, or the whole upstream. `peers`: of a
    further tenant `ward`, in their order; `more`: further keys of that tenant. `ports`: of listeners that need certain
    ones.
    """
    ports = {**{name: free_port() for name in LISTENERS}, **(ports or {})}
    tls = {"certificates": pki.certificates()}
    names = ["open", "closed", "other", "optional", "pinned", "crl", *(["ward"] if peers else [])]
    on_loopback = {"networks": ["127.0.0.0/8"]}
    behind_a_balancer = {"proxy_protocol": {"trusted": [LOAD_BALANCERS]}}
    listeners: dict[str, Any] = {
        "tls": {"tls": tls, "tenants": names},
        "reject": {"tls": tls, "tenants": names, "without_sni": "reject"},
        "modified": {"tls": {**tls, "profile": "bcp195-rfc8996-modified"}, "tenants": ["open"]},
        "dhe": {"tls": {**tls, "profile": "bcp195-nondowngrading"}, "tenants": ["open"]},
        "legacy": {"tls": {**tls, "profile": "legacy-bcp195"}, "tenants": ["open"], **on_loopback},
        "plain": {"tenants": ["open"], **on_loopback},
        "proxied": {"tls": tls, "tenants": names, **behind_a_balancer},
        "proxied-plain": {"tenants": ["open"], "networks": ["127.64.0.0/10", "10.0.0.0/8"], **behind_a_balancer},
    }
    for name, listener in listeners.items():
        listener["bind"] = [f"127.0.0.1:{ports[name]}"]
    a, b = pki.path("ca-a.pem"), pki.path("ca-b.pem")
    ct1 = bound("CT1", san_dns=["ct1.example.org"])
    pinned = [bound(name, file=[pki.path(f"{name}.pem")]) for name in pki.devices]
    with_lists = {
        "ca": {"a": a, "c": pki.path("ca-c.pem"), "d": pki.path("ca-d.pem")},
        "crl": [pki.path("a.crl.pem"), pki.path("d.crl.pem")],
    }
    tenants = {
        "open": _tenant("open", ["PACS", SIXTEEN, "MixedCase"], [EVERYBODY], mode="none"),
        "closed": _tenant(
            "closed",
            ["CLOSED"],
            [ct1, bound("CT2", san_dns=["ct2.example.org"]), bound("CN1", subject_cn=["CN1"]), EVERYBODY],
            ca=a,
        ),
        "other": _tenant("other", ["OTHER"], [EVERYBODY], ca=b),
        "optional": _tenant(
            "optional", ["OPTIONAL"], [ct1, {"aet": "ANYBODY", "allow": ["all"]}], mode="optional", ca=a
        ),
        "pinned": _tenant("pinned", ["PINNED"], pinned, ca=a),
        "crl": _tenant("crl", ["CRL"], [EVERYBODY], **with_lists),
    }
    if peers:
        tenants["ward"] = {**_tenant("ward", ["WARD"], list(peers), mode="none"), **more}
    upstreams: dict[str, int | str | dict[str, Any]] = {"pacs": upstream}
    if routes:
        upstreams |= {title.lower(): _server(where, ports) for title, where in routes.items()}
        tenants["open"]["routes"] = {title: title.lower() for title in routes}
    return configuration(
        listeners, tenants, upstreams, timeouts={**TIMEOUTS, **(timeouts or {})}, log={"level": "debug"}
    )


def _server(where: int | str | dict[str, Any], ports: Mapping[str, int]) -> int | str | dict[str, Any]:
    if isinstance(where, dict):
        return where
    host, _, listener = str(where).rpartition(":")
    return f"{host}:{ports[listener]}" if listener in ports else where


def _tenant(name: str, called: list[str], peers: list[Any], mode: str = "required", **auth: Any) -> dict[str, Any]:
    return {
        "server_names": [f"{name}.example.org"],
        "called_aets": called,
        "upstream": "pacs",
        "peers": peers,
        "tls": {"client_auth": {"mode": mode, **auth}},
    }
