"""After a reload each open association is decided again: those refused now are ended at once, and no others."""

import copy
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.dimse.command import C_FIND, NOT_AUTHORIZED, RESPONSE, decode_command
from proxy.dimse.echo import IMPLICIT_VR_LITTLE_ENDIAN as IMPLICIT
from proxy.dimse.echo import VERIFICATION_SOP_CLASS
from proxy.pdu import PduType, encode_associate_rq
from tests.support import certs
from tests.support.archive import Archive
from tests.support.client import associate, client_context, connect, echo, release, request
from tests.support.gateway import Gateway, Record
from tests.support.messages import command, message
from tests.support.pacs import Pacs, Visit
from tests.support.processes import PATIENCE, until
from tests.support.site import HOST, Site, port_of
from tests.support.steering import ask, reloaded
from tests.support.stopwatch import Stopwatch
from tests.support.wire import END, Wire

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
AT_ONCE = 2.0  # seconds


class Ward:
    """A gateway with associations of some devices, each with a certificate of its own."""

    def __init__(self, site: Site, upstream: int, folder: Path, start: Callable[..., Gateway]) -> None:
        self.site = site
        self.devices = {name: certs.leaf(name, site.root) for name in ("CT1", "CT2", "CT3")}
        for name, issued in self.devices.items():
            site.pair(name, issued)
        site.path("empty.crl").write_bytes(certs.crl(site.root))
        auth = {
            "mode": "required",
            "ca": str(site.path("ca.pem")),
            "crl": str(site.path("empty.crl")),
        }
        peers = [{"aet": name, "name": name, "allow": ["all"]} for name in self.devices]
        config = site.one_tenant(
            upstream, workers=2, control=str(folder / "control.sock"), peers=peers, tls={"client_auth": auth}
        )
        self.gateway = start(config)
        self.config: Record = copy.deepcopy(self.gateway.config)
        self.wires = {name: self.open(name) for name in self.devices}

    def open(self, name: str) -> Wire:
        certificate = (self.site.path(f"{name}.pem"), self.site.path(f"{name}.key"))
        context = client_context(self.site.path("ca.pem"), certificate)
        wire = associate(connect(port_of(self.gateway.config), context, HOST), calling=name)
        echo(wire)
        return wire

    @property
    def client_auth(self) -> Record:
        auth: Record = self.config["listeners"]["dicom-tls"]["tls"]["client_auth"]
        return auth

    def check_only_one_ends(self, name: str, why: str) -> None:
        """Reload; the association of this device is aborted at once, the others go on."""
        reloaded(self.gateway, self.config)
        watch = Stopwatch(self.gateway.child.family())
        gone = self.wires.pop(name)
        assert gone.receive_pdu()[:1] == bytes([PduType.A_ABORT]) and gone.receive_pdu() == END
        gone.close()
        record = self.gateway.wait_for_record(lambda record: record["ended"] == "policy_changed")
        assert watch.seconds() < AT_ONCE
        assert record["calling_aet"] == name and record["reason"] == "policy_changed"
        assert why in record["detail"], record["detail"]
        for wire in self.wires.values():
            echo(wire)
            release(wire)
        until(lambda: len(self.gateway.records) == 3, "all three records")
        ends = sorted(record["ended"] for record in self.gateway.records)
        assert ends == ["policy_changed", "released", "released"]


@pytest.fixture
def ward(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> object:
    with Pacs(Archive()) as pacs:
        yield Ward(site, pacs.port, tmp_path, start_gateway)


def test_a_peer_that_was_taken_out(ward: Ward) -> None:
    peers = ward.config["tenants"]["hospital"]["peers"]
    peers[:] = [peer for peer in peers if peer["name"] != "CT2"]
    ward.check_only_one_ends("CT2", "calling_aet_unknown")


def test_a_revoked_fingerprint(ward: Ward) -> None:
    ward.client_auth["revoked"] = [ward.devices["CT3"].sha256]
    ward.check_only_one_ends("CT3", "client_certificate_revoked")


def test_a_certificate_on_the_new_crl(ward: Ward) -> None:
    crl = certs.crl(ward.site.root, [ward.devices["CT1"]])
    ward.site.path("empty.crl").write_bytes(crl)
    ward.check_only_one_ends("CT1", "client_certificate_revoked")


def test_every_association_of_a_peer_that_is_refused_now(ward: Ward) -> None:
    """The worker that serves the association makes no difference."""
    more = [ward.open("CT2") for _ in range(6)]
    peers = ward.config["tenants"]["hospital"]["peers"]
    next(peer for peer in peers if peer["name"] == "CT2")["action"] = "refuse"
    reloaded(ward.gateway, ward.config)
    watch = Stopwatch(ward.gateway.child.family())
    for wire in [ward.wires.pop("CT2"), *more]:
        assert wire.receive_pdu()[:1] == bytes([PduType.A_ABORT])
        wire.close()
    assert watch.seconds() < AT_ONCE
    for wire in ward.wires.values():
        echo(wire)
        release(wire)


def test_an_association_that_lives_on_may_do_no_more_than_its_peer_may_now(ward: Ward) -> None:
    ward.wires.pop("CT2").close()
    certificate = (ward.site.path("CT2.pem"), ward.site.path("CT2.key"))
    wire = connect(port_of(ward.gateway.config), client_context(ward.site.path("ca.pem"), certificate), HOST)
    wire.send(encode_associate_rq("MAINPACS", "CT2", [(1, VERIFICATION_SOP_CLASS, [IMPLICIT]), (3, FIND, [IMPLICIT])]))
    assert wire.receive_pdu()[:1] == bytes([PduType.A_ASSOCIATE_AC])
    peers = ward.config["tenants"]["hospital"]["peers"]
    next(peer for peer in peers if peer["name"] == "CT2")["allow"] = ["echo"]
    reloaded(ward.gateway, ward.config)
    # A worker takes its orders in turn: once it has answered this question, it has the new configuration.
    assert ask(ward.gateway, "status")["ok"]
    wire.send(message(command(C_FIND, sop_class=FIND, data_set=True), b"query", context_id=3))
    answer = decode_command(wire.receive_pdu()[12:])
    assert (answer.field, answer.status) == (C_FIND | RESPONSE, NOT_AUTHORIZED)
    echo(wire)
    release(wire)
    for other in ward.wires.values():
        release(other)


def test_one_whose_pacs_has_not_answered_yet(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    """The old configuration admitted the request; the new one decides as soon as the association is established."""
    asked, answer = threading.Event(), threading.Event()

    def slow(visit: Visit) -> None:
        visit.request = visit.wire.receive_pdu()
        asked.set()
        answer.wait(PATIENCE)
        visit.accept()
        visit.until_end()

    with Pacs(slow) as pacs:
        peers = [{"aet": "CT1", "allow": ["all"]}, {"aet": "CT2", "allow": ["all"]}]
        config = site.one_tenant(pacs.port, workers=1, control=str(tmp_path / "control.sock"), peers=peers)
        gateway = start_gateway(config)
        with connect(port_of(config), client_context()) as wire:
            wire.send(request(calling="CT2"))
            assert asked.wait(PATIENCE)
            del config["tenants"]["hospital"]["peers"][1]
            reloaded(gateway, config)
            answer.set()
            received = wire.receive_all()
            assert received[:1] == bytes([PduType.A_ASSOCIATE_AC])
            assert received[-10:-9] == bytes([PduType.A_ABORT])
        assert gateway.wait_for_record()["ended"] == "policy_changed"
