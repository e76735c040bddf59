"""The test bed of the bad-input rows: a gateway with all kinds of listeners and tenants, a fake PACS, a healthy client.

`Case` holds what is common to every row: whatever a hostile peer does, the gateway lives, others are served, nothing
is dialled for who is refused, all that was taken is given back, and one record says why.
"""

import itertools
import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bad_inputs.fake_pacs import FakePacs
from tests.bad_inputs.hostile import OPEN, SOON, Peer, TlsPeer
from tests.support import certs, pdus
from tests.support.configs import write_pair
from tests.support.gateway import Gateway, configuration
from tests.support.ports import free_port
from tests.support.processes import until

HEALTHY = "127.200.0.1"
#: Short, so that the rows that wait for them are quick; design section 3 has one deadline per stage.
STAGE = 1.0
TIMEOUTS = {"client_hello": "1s", "tls_handshake": "1s", "artim": "1s", "close": "500ms", "upstream_connect": "2s"}
GIVEN_BACK = 2.0  # seconds after the last hostile socket (bad-inputs.md, common to every case)
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


LISTENERS = ("tls", "reject", "modified", "dhe", "legacy", "plain")


def bed_configuration(pki: Pki, upstream: int) -> dict[str, Any]:
    """Six listeners; a tenant per rule about certificates, each with a server name and a called AE title of its own."""
    ports = {name: free_port() for name in LISTENERS}
    tls = {"certificates": pki.certificates()}
    names = ["open", "closed", "other", "optional", "pinned", "crl"]
    on_loopback = {"networks": ["127.0.0.0/8"]}
    listeners: dict[str, Any] = {
        "tls": {"tls": tls, "tenants": names},
        "reject": {"tls": tls, "tenants": names, "without_sni": "reject"},
        "modified": {"tls": {**tls, "profile": "bcp195-rfc8996-modified"}, "tenants": ["open"]},
        "dhe": {"tls": {**tls, "profile": "bcp195-nondowngrading"}, "tenants": ["open"]},
        "legacy": {"tls": {**tls, "profile": "legacy-bcp195"}, "tenants": ["open"], **on_loopback},
        "plain": {"tenants": ["open"], **on_loopback},
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
    return configuration(listeners, tenants, {"pacs": upstream}, timeouts=TIMEOUTS)


def _tenant(name: str, called: list[str], peers: list[Any], mode: str = "required", **auth: Any) -> dict[str, Any]:
    return {
        "server_names": [f"{name}.example.org"],
        "called_aets": called,
        "upstream": "pacs",
        "peers": peers,
        "tls": {"client_auth": {"mode": mode, **auth}},
    }


class Bed:
    """A running gateway with its PACS and a healthy client that stays associated."""

    _addresses = itertools.count(1)

    def __init__(self, folder: Path, pki: Pki, pacs: FakePacs, *, healthy: bool = True) -> None:
        """`healthy` False: where the fault is such that nobody can be served."""
        self.pki = pki
        self.pacs = pacs
        config = bed_configuration(pki, pacs.port)
        self.ports = {name: int(config["listeners"][name]["bind"][0].rpartition(":")[2]) for name in LISTENERS}
        # As JSON, which is YAML too: what occurs twice is written twice, not as an anchor.
        self.gateway = Gateway(folder, json.dumps(config, indent=1))
        self._healthy: TlsPeer | None = None
        if healthy:
            self._healthy = TlsPeer(self.ports["tls"], HEALTHY)
            assert self._healthy.handshake()
            self._healthy.associate(pdus.associate_rq(calling=b"HEALTHY".ljust(16)))
            self.normal = self.echo_seconds(30)
        self.served = int(healthy)
        # The least of some, because a connection to the admin address may just be closing.
        self.descriptors = min(self.gateway.child.descriptors() for _ in range(200))

    def echo_seconds(self, times: int) -> float:
        """How long the healthy client waits for a C-ECHO: the median."""
        assert self._healthy is not None
        return statistics.median(self._healthy.echo() for _ in range(times))

    def address(self) -> str:
        """A source address that was not used before: refusals are rate-limited, and connections capped, by address."""
        number = next(self._addresses)
        return f"127.{1 + (number >> 14)}.{number >> 7 & 127}.{1 + (number & 127)}"

    def cpu_seconds(self) -> float:
        return self.gateway.child.cpu_seconds()

    def rss_bytes(self) -> int:
        """Resident memory, exactly (the counters in /proc/PID/status lag behind)."""
        for line in Path(f"/proc/{self.gateway.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no Rss")

    def stop(self) -> None:
        if self._healthy is not None:
            self._healthy.release()
        self.gateway.stop()


@dataclass(frozen=True)
class Outcome:
    """What the one access record of a peer must say."""

    decision: str
    ended: str
    reason: str | None


class Case:
    """One row, or one input of a row: hostile peers, what their records must say, and the common assertions."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.gateway = bed.gateway
        self.pacs = bed.pacs
        self.rss_slack = 2 << 20  # bytes that a row may leave behind: arenas, TLS 1.2 sessions of OpenSSL's own store
        self._peers: list[Peer] = []
        self._expected: dict[str, Outcome | None] = {}
        self._floods: dict[str, tuple[set[str], int]] = {}
        self._dials = 0
        self.mark = self.gateway.mark()
        self._rss = bed.rss_bytes()
        self._dialled = self.pacs.dials

    # --- peers ------------------------------------------------------------------------------------------------------

    def peer(self, listener: str = "plain", address: str | None = None) -> Peer:
        """A TCP connection from an address of its own."""
        return self._keep(Peer(self.bed.ports[listener], address or self.bed.address()))

    def tls_peer(self, listener: str = "tls", address: str | None = None, **more: Any) -> TlsPeer:
        """A TLS client that has sent nothing yet. `more`: context, server_name, session."""
        peer = TlsPeer(self.bed.ports[listener], address or self.bed.address(), **more)
        self._keep(peer)
        return peer

    def secured(self, **more: Any) -> TlsPeer:
        """A TLS client behind its handshake."""
        peer = self.tls_peer(**more)
        assert peer.handshake(), f"{peer.alert} {peer.end}"
        return peer

    def associated(self, calling: str = "CT1", request: bytes | None = None, **more: Any) -> TlsPeer:
        """A TLS client with an association that the PACS accepted."""
        peer = self.secured(**more)
        peer.associate(request or pdus.associate_rq(calling=calling.encode().ljust(16)))
        return peer

    def handed_over(self, calling: str, *, plain: bool = False, request: bytes | None = None) -> tuple[Peer, Any]:
        """A client with an association whose other end the test holds (see `fake_pacs`)."""
        peer = self.peer() if plain else self.secured()
        peer.send(request or pdus.associate_rq(calling=calling.encode().ljust(16)))
        side = self.pacs.side(calling)
        side.accept()
        peer.accepted()
        return peer, side

    def _keep(self, peer: Peer) -> Any:
        self._peers.append(peer)
        return peer

    # --- what the record must say -----------------------------------------------------------------------------------

    def refused(self, peer: Peer | str, reason: str, *, dialled: int = 0) -> None:
        """One record: refused for this reason, or the peer went away; nothing was dialled unless said."""
        decision = "failed" if reason in ("requestor_gone", "tls_truncated") else "refused"
        self._expect(peer, Outcome(decision, "refused", reason), dialled)

    def gone(self, peer: Peer, ended: str, *, dialled: int = 0) -> None:
        """One record: the peer itself ended it before there was an association."""
        self._expect(peer, Outcome("failed", ended, "requestor_gone"), dialled)

    def passed(self, peer: Peer, ended: str = "requestor_lost", reason: str | None = None) -> None:
        """One record of an association, and how it ended; the default is that of a peer that just closes."""
        self._expect(peer, Outcome("accepted", ended, reason), 1)

    def released(self, peer: Peer) -> None:
        """The peer is served to the end."""
        peer.release()
        self.passed(peer, "released")

    def unrecorded(self, peer: Peer) -> None:
        """No record: a probe."""
        self._expect(peer, None, 0)

    def flooded(self, address: str, reasons: set[str], at_most: int) -> None:
        """So many connections of one address that their records are rate-limited: some, of these reasons."""
        self._floods[address] = (reasons, at_most)

    def _expect(self, peer: Peer | str, outcome: Outcome | None, dialled: int) -> None:
        self._expected[peer if isinstance(peer, str) else peer.address] = outcome
        self._dials += dialled

    # --- common to every case ---------------------------------------------------------------------------------------

    def close(self) -> None:
        for peer in self._peers:
            peer.close()

    def check(self) -> None:
        """All that must hold whatever was sent."""
        gateway = self.gateway
        gateway.check_healthy()
        self.check_the_healthy_client()
        self.close()
        closed = time.monotonic()
        try:
            until(self._given_back, "everything is given back", GIVEN_BACK + 0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._held()}") from None
        records = self._records(closed)
        found = {
            address: [Outcome(r["decision"], r["ended"], r.get("reason")) for r in of_address]
            for address, of_address in records.items()
        }
        for address, (reasons, at_most) in self._floods.items():
            outcomes = found.pop(address)
            assert len(outcomes) <= at_most and {outcome.reason for outcome in outcomes} <= reasons
        assert found == {address: [outcome] for address, outcome in self._expected.items() if outcome is not None}
        unnamed = {peer.address for peer in self._peers} - self._expected.keys() - self._floods.keys()
        assert not unnamed, f"the test does not say what becomes of {unnamed}"
        assert self.pacs.dials - self._dialled == self._dials, "upstream connections"
        self._check_the_log()
        gateway.check_healthy()

    def check_the_healthy_client(self) -> None:
        """It is served as ever: less than twice its normal time and 20 ms, best of three."""
        allowed = 2 * self.bed.normal + 0.020
        attempts: list[float] = []
        while len(attempts) < 3 and min(attempts, default=allowed) >= allowed:
            attempts.append(self.bed.echo_seconds(5))
        assert min(attempts) < allowed, f"the healthy client waits {attempts}, normally {self.bed.normal}"

    def _given_back(self) -> bool:
        descriptors, too_much, connections, associations = self._held()
        return descriptors <= self.bed.descriptors and not too_much and connections == associations == self.bed.served

    def _held(self) -> tuple[int, int, int, int]:
        """Descriptors, bytes above what a row may leave behind, connections and associations by the registry."""
        too_much = max(0, self.bed.rss_bytes() - self._rss - self.rss_slack)
        connections = int(self.gateway.metric("connections_active"))
        return self.gateway.child.descriptors(), too_much, connections, int(self.gateway.metric("associations_active"))

    def _records(self, closed: float) -> Mapping[str, list[dict[str, Any]]]:
        """The records of this case by address, once there is one for everybody who must have one."""
        needed = {address for address, outcome in self._expected.items() if outcome is not None}

        def by_address() -> dict[str, list[dict[str, Any]]]:
            found: dict[str, list[dict[str, Any]]] = {}
            for line in self.gateway.lines[self.mark :]:
                if line["event"] == "association":
                    found.setdefault(line["client"]["ip"], []).append(line)
            return found

        def complete() -> dict[str, list[dict[str, Any]]] | None:
            found = by_address()
            return found if needed <= found.keys() else None

        left = closed + GIVEN_BACK + 0.5 - time.monotonic()
        try:
            return until(lambda: complete() or not needed, "", max(left, 0.2)) and by_address()
        except AssertionError:
            raise AssertionError(f"no record of {needed - by_address().keys()}") from None

    def _check_the_log(self) -> None:
        for line in self.gateway.child.output[self.mark :]:
            assert line.isascii() and line.isprintable() and isinstance(json.loads(line), dict), line

    def record(self, peer: Peer) -> dict[str, Any]:
        """The record of a peer, as soon as it is there."""
        return self.gateway.wait_for_record(lambda r: r["client"]["ip"] == peer.address, SOON, since=self.mark)
