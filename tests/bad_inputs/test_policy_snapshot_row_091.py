"""Row 91: a reload while an A-ASSOCIATE-RQ is half received, or while the PACS has not answered it."""

import threading
from collections.abc import Callable
from pathlib import Path

from proxy.pdu import PduType
from tests.support.client import client_context, connect, echo, release, request
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, Visit, mirror, sink
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.steering import reloaded
from tests.support.wire import END

ACCEPTED, ABORTED = bytes([PduType.A_ASSOCIATE_AC]), bytes([PduType.A_ABORT])
REFUSED = bytes((PduType.A_ASSOCIATE_RJ, 0, 0, 0, 0, 4, 0, 1, 1, 3))
#: How much of the request the reload finds there: a byte, the titles but no item, all but a byte.
PARTS = (1, 74, -1)


def test_row_091_one_policy_decides_and_the_new_one_looks_again(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    """The generation that took the connection decides; an association that the new policy refuses is ended."""
    with Pacs(mirror) as pacs:
        peers = [{"aet": title, "allow": ["all"]} for title in ("STAYS", "GOES")]
        config = site.one_tenant(pacs.port, peers=peers, control=str(tmp_path / "control.sock"))
        gateway = start_gateway(config)
        context = client_context()
        half = {}
        for title in ("STAYS", "GOES", "COMES"):
            asked = request(calling=title)
            for part in PARTS:
                wire = half[title, part] = connect(port_of(config), context)
                wire.send(asked[:part])
        until(lambda: gateway.metric("connections_active", phase="waiting_associate") == len(half), "all wait")
        config["tenants"]["hospital"]["peers"] = [{"aet": title, "allow": ["all"]} for title in ("STAYS", "COMES")]
        reloaded(gateway, config)
        for (title, part), wire in half.items():
            wire.send(request(calling=title)[part:])
            answer = wire.receive_pdu()
            if title == "STAYS":
                assert answer[:1] == ACCEPTED
                echo(wire)
                release(wire)
            elif title == "COMES":
                assert answer == REFUSED
            else:
                assert answer[:1] == ACCEPTED
                assert wire.receive_pdu()[:1] == ABORTED and wire.receive_pdu() == END
            wire.close()
        with connect(port_of(config), context) as wire:  # the new generation
            wire.send(request(calling="COMES"))
            assert wire.receive_pdu()[:1] == ACCEPTED
            release(wire)
        until(lambda: len(gateway.records) == len(half) + 1, "all records")
        found = {(r["calling_aet"], r["decision"], r["ended"], r.get("reason")) for r in gateway.records}
    assert found == {
        ("STAYS", "accepted", "released", None),
        ("GOES", "accepted", "policy_changed", "policy_changed"),
        ("COMES", "refused", "refused", "calling_aet_unknown"),
        ("COMES", "accepted", "released", None),
    }


def test_row_091_while_the_pacs_thinks(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> None:
    """Forwarded under the old policy, accepted by the PACS after the reload: ended as well."""
    answers = threading.Event()

    def thinking(visit: Visit) -> None:
        visit.request = visit.wire.receive_pdu()
        assert answers.wait(20)
        sink(visit)

    with Pacs(thinking) as pacs:
        config = site.one_tenant(
            pacs.port, peers=[{"aet": "GOES", "allow": ["all"]}], control=str(tmp_path / "control.sock")
        )
        gateway = start_gateway(config)
        with connect(port_of(config), client_context()) as wire:
            wire.send(request(calling="GOES"))
            until(lambda: pacs.visit().request, "the PACS has the request")
            config["tenants"]["hospital"]["peers"][0]["action"] = "refuse"
            reloaded(gateway, config)
            answers.set()
            assert wire.receive_pdu()[:1] == ACCEPTED
            assert wire.receive_pdu()[:1] == ABORTED and wire.receive_pdu() == END
        assert pacs.ended().ended == "abort"
        record = gateway.wait_for_record()
    assert (record["decision"], record["ended"]) == ("accepted", "policy_changed")
    assert record["detail"].startswith("peer_refused: ")
