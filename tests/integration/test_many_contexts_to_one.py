"""The 128 presentation contexts of real senders, cut to one: all other items stay as they were sent."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import QueryRetrievePresentationContexts, StoragePresentationContexts
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification

from proxy.pdu import PduType, parse_associate_rq
from tests.support import dcmtk, scu
from tests.support.client import connect, release
from tests.support.dicomfiles import write_ct
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, Visit
from tests.support.pdus import encode_associate_ac, encode_release_rp
from tests.support.ports import free_port
from tests.support.site import Site, port_of

pytestmark = pytest.mark.peers

MOST = 128
PEER = {
    "aet": "CT1",
    "allow": ["store"],
    "sop_classes": ["CTImageStorage"],
    "transfer_syntaxes": ["ExplicitVRLittleEndian"],
}
_FIXED = 74  # bytes of an A-ASSOCIATE-RQ or -AC before its items (PS3.8 Tables 9-11 and 9-17)
_CONTEXT, _RESULT, _ABSTRACT_SYNTAX, _TRANSFER_SYNTAX = 0x20, 0x21, 0x30, 0x40
_USER_REJECTION = 1


def by_dcmtk(port: int, folder: Path) -> None:
    write_ct(folder / "image.dcm", 1024)
    dcmtk.storescu(port, folder / "image.dcm")


def by_pynetdicom(port: int, folder: Path) -> None:
    contexts = [build_context(Verification), *StoragePresentationContexts, *QueryRetrievePresentationContexts]
    with scu.association(port, contexts[:MOST], None):
        pass


def accepting(visit: Visit) -> None:
    """Accepts, answers a release, and leaves on anything else."""
    visit.accept()
    if visit.wire.receive_pdu()[:1] == bytes([PduType.A_RELEASE_RQ]):
        visit.wire.send(encode_release_rp())


def items(data: bytes) -> list[bytes]:
    """A sequence of items, each with its header (PS3.8 Table 9-12)."""
    found = []
    while data:
        end = 4 + int.from_bytes(data[2:4], "big")
        found.append(data[:end])
        data = data[end:]
    return found


def item(head: bytes, *inside: bytes) -> bytes:
    """`head`: an item's type, reserved byte, and any length; then its first bytes."""
    body = head[4:] + b"".join(inside)
    return head[:2] + len(body).to_bytes(2, "big") + body


def pdu(like: bytes, parts: list[bytes]) -> bytes:
    """The fixed part of `like` with these items, and a length that holds."""
    body = like[6:_FIXED] + b"".join(parts)
    return like[:2] + len(body).to_bytes(4, "big") + body


def uid(of: bytes) -> str:
    return of[4:].decode().rstrip("\0")


def cut(context: bytes) -> bytes | None:
    """The rest of a proposed context that PEER may use."""
    abstract, *transfer = items(context[8:])
    kept = [syntax for syntax in transfer if uid(syntax) == ExplicitVRLittleEndian]
    return item(context[:8], abstract, *kept) if uid(abstract) == CTImageStorage and kept else None


def refused(context: bytes) -> bytes:
    """The answer to a context that is cut: user rejection, and the first transfer syntax that was proposed."""
    return item(bytes((_RESULT, 0, 0, 0, context[4], 0, _USER_REJECTION, 0)), items(context[8:])[1])


@pytest.mark.parametrize("send", [by_dcmtk, by_pynetdicom])
def test_what_stays_is_as_it_was_sent(
    send: Callable[[int, Path], None], site: Site, start_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    with Pacs(accepting) as pacs:
        send(pacs.port, tmp_path)
        request = pacs.ended(0).request  # as it arrives without a gateway
        sent = items(request[_FIXED:])
        proposed = [part for part in sent if part[0] == _CONTEXT]
        assert len(proposed) == MOST

        config = site.one_tenant(pacs.port, peers=[PEER])
        config["listeners"]["plain"] = {
            "bind": [f"127.0.0.1:{free_port()}"],
            "tenants": ["hospital"],
            "networks": ["127.0.0.0/8"],
        }
        config["tenants"]["hospital"]["called_aets"] = [request[10:26].decode().strip()]
        gateway = start_gateway(config)
        with connect(port_of(config, "plain")) as wire:
            wire.send(request)
            answer = wire.receive_pdu()
            release(wire)
        forwarded = pacs.ended(1).request
        record = gateway.wait_for_record()

    left = [cut(part) if part[0] == _CONTEXT else part for part in sent]
    kept = [part for part in left if part is not None]
    assert forwarded == pdu(request, kept)
    [one] = parse_associate_rq(forwarded).presentation_contexts
    assert (one.abstract_syntax, one.transfer_syntaxes) == (CTImageStorage, (ExplicitVRLittleEndian,))

    theirs = encode_associate_ac(
        request[10:26].decode(), request[26:42].decode(), [(one.context_id, 0, ExplicitVRLittleEndian)]
    )
    application, accepted, user_information = items(theirs[_FIXED:])
    results = [refused(context) if cut(context) is None else accepted for context in proposed]
    assert answer == pdu(theirs, [application, *results, user_information])

    contexts = record["contexts"]
    assert (contexts["proposed"], contexts["kept"], contexts["accepted"]) == (MOST, 1, 1)
    assert [entry["by"] for entry in contexts["refused"]] == ["gateway"] * (MOST - 1)
