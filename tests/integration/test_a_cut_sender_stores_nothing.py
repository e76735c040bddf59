"""A sender is cut one to ten bytes before the end of a C-STORE: the PACS stores nothing, whatever the way of the cut.

storescp takes all bytes that follow inside a PDU for pixel data, an A-ABORT of the gateway too.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.pdu import PduType
from tests.support import dcmtk, storing
from tests.support.client import client_context, connect
from tests.support.dicomfiles import write_ct
from tests.support.gateway import Gateway
from tests.support.processes import until
from tests.support.site import Site, port_of
from tests.support.wire import Wire

pytestmark = pytest.mark.peers


def close_notify(wire: Wire) -> None:
    wire.close_notify()
    wire.fin()


#: The way the sender ends, and the fields of its record.
ENDS: dict[str, tuple[Callable[[Wire], None], tuple[str, ...]]] = {
    "FIN": (Wire.fin, ("tls_truncated",)),
    "close_notify": (close_notify, ()),
    "RST": (Wire.reset, ()),
}


def associated(gateway: Gateway) -> Wire:
    wire = connect(port_of(gateway.config), client_context())
    wire.send(storing.request())
    assert wire.receive_pdu()[0] == PduType.A_ASSOCIATE_AC
    return wire


@pytest.mark.parametrize("mode", ["+B", "-B"])
@pytest.mark.parametrize("end", ENDS)
def test_the_pacs_stores_nothing(
    end: str, mode: str, site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    leave, reasons = ENDS[end]
    write_ct(tmp_path / "cut.dcm", 100_000)
    whole = write_ct(tmp_path / "whole.dcm", 100_000)
    before_last, last = storing.c_store(tmp_path / "cut.dcm")
    with dcmtk.storescp(tmp_path / "stored", mode) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port))
        for cut in range(1, 11):
            since = gateway.mark()
            with associated(gateway) as wire:
                wire.send(before_last + last[:-cut])
                leave(wire)
                record = gateway.wait_for_record(since=since)
            assert record["ended"] == "requestor_lost", record
            assert tuple(record.get(key) for key in ("reason",) if key in record) == reasons
        until(lambda: pacs.child.text.count("Association Received") == 10, "storescp has seen all ten")
        # The control. storescp is one process: when it answers this one, it has finished the others.
        with associated(gateway) as wire:
            wire.send(b"".join(storing.c_store(tmp_path / "whole.dcm")))
            assert wire.receive_pdu()[0] == PduType.P_DATA_TF
            assert [path.name for path in pacs.stored] == [f"CT.{whole}"]
        until(lambda: pacs.child.text.count("Received Store Request") == 11, "storescp has said what it read")
