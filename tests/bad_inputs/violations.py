"""A peer that breaks the rules on an association which the PACS accepted, and what both sides then see."""

from proxy.pdu.encode import encode_abort
from tests.bad_inputs.case import Case
from tests.support import pdus

_RQ = pdus.associate_rq()


def pdv(context_id: int, control: int, fragment: bytes = b"") -> bytes:
    """A presentation data value item (PS3.8 Table 9-23)."""
    return (len(fragment) + 2).to_bytes(4, "big") + bytes((context_id, control)) + fragment


def violates(case: Case, data: bytes, answer: str, reason: str, *, before: bytes = b"", request: bytes = _RQ) -> None:
    """Send `data` on an association: the requestor gets this A-ABORT, the PACS the valid part and an A-ABORT."""
    request = request[:26] + b"VIOLATES".ljust(16) + request[42:]
    peer = case.associated(request=request)
    side = case.pacs.side("VIOLATES")
    peer.send(before + data)
    assert peer.aborted() == answer
    received = side.wait_end()
    assert received[: len(before)] == before and side.end == "fin"
    assert received[len(before) :] == encode_abort(2, int(answer[-1]))
    case.passed(peer, "aborted_by_gateway", reason)
