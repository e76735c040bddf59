"""DIMSE messages as bytes on the wire, and an inspection for them."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace

from proxy.dimse.command import C_CANCEL, NO_DATA_SET, REQUESTS, RESPONSE
from proxy.dimse.inspection import Inspection, RefusedCommand
from proxy.dimse.rules import ContextRules
from proxy.pdu import encode_p_data

COMMAND, LAST = 1, 2  # bits of the message control header (PS3.8 annex E.2)
EVERY_REQUEST = frozenset(REQUESTS)


def command(
    field: int,
    message_id: int = 1,
    *,
    data_set: bool = False,
    status: int = 0,
    sop_class: str = "1.2.840.10008.5.1.4.1.1.2",
    destination: str | None = None,
    more: Sequence[tuple[int, bytes]] = (),
) -> bytes:
    """A command set (PS3.7 section 6.3.1) with group length; responses have a status."""
    refers = field >= RESPONSE or field == C_CANCEL
    elements = [
        (0x0002, sop_class.encode() + b"\0" * (len(sop_class) % 2)),
        (0x0100, struct.pack("<H", field)),
        (0x0120 if refers else 0x0110, struct.pack("<H", message_id)),
        (0x0800, struct.pack("<H", 0 if data_set else NO_DATA_SET)),
        *more,
    ]
    if destination is not None:
        elements.append((0x0600, destination.encode() + b" " * (len(destination) % 2)))
    if field >= RESPONSE:
        elements.append((0x0900, struct.pack("<H", status)))
    return encode_elements(sorted(elements))


def encode_elements(elements: Sequence[tuple[int, bytes]]) -> bytes:
    """Elements of group 0000, preceded by their group length."""
    body = b"".join(struct.pack("<HHL", 0, tag, len(value)) + value for tag, value in elements)
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def message(encoded: bytes, data_set: bytes | None = None, *, context_id: int = 1, step: int = 16_000) -> bytes:
    """A message as P-DATA-TF PDUs, one PDV each, with fragments of `step` bytes at most."""
    return b"".join(
        encode_p_data(context_id, control, fragment) for control, fragment in fragments(encoded, data_set, step)
    )


def fragments(encoded: bytes, data_set: bytes | None, step: int) -> list[tuple[int, bytes]]:
    """Message control header and bytes of each PDV of a message."""
    pieces = _cut(encoded, step, COMMAND)
    if data_set is not None:
        pieces += _cut(data_set, step, 0)
    return pieces


def _cut(data: bytes, step: int, control: int) -> list[tuple[int, bytes]]:
    pieces = [(control, data[start : start + step]) for start in range(0, len(data), step)] or [(control, b"")]
    pieces[-1] = (control | LAST, pieces[-1][1])
    return pieces


def inspection(
    from_requestor: frozenset[int] = EVERY_REQUEST,
    from_acceptor: frozenset[int] = EVERY_REQUEST,
    *,
    contexts: frozenset[int] = frozenset({1, 3}),
    may_name: Callable[[str], bool] = lambda uid: True,
    may_move_to: Callable[[str], bool] = lambda title: True,
    observed: Callable[[RefusedCommand], None] | None = None,
) -> Inspection:
    """An inspection with the same rules on every context, and a clock that stands still."""
    rules = ContextRules(from_requestor, from_acceptor, "ct", "1.2.840.10008.5.1.4.1.1.2")
    none = replace(rules, from_requestor=frozenset(), from_acceptor=frozenset())
    return Inspection(
        dict.fromkeys(contexts, rules),
        rules_of=lambda context_id, uid: rules if may_name(uid) else none,
        may_move_to=may_move_to,
        observed=observed,
        clock=lambda: 0.0,
    )


C_STORE_MESSAGE = message(command(0x0001, data_set=True), b"d" * 1000)
C_ECHO_MESSAGE = message(command(0x0030))


def stored(data_set: bytes, context_id: int = 1) -> bytes:
    """A C-STORE-RQ whose data set is one PDU, however long."""
    return begun(context_id) + encode_p_data(context_id, LAST, data_set)


def begun(context_id: int = 1) -> bytes:
    """The command set of a C-STORE-RQ, whose data set is still to come."""
    return encode_p_data(context_id, COMMAND | LAST, command(0x0001, data_set=True))


def one_pdu(*pdvs: tuple[int, int, bytes]) -> bytes:
    """A P-DATA-TF with several PDVs: context, control header, fragment."""
    body = b"".join(encode_p_data(*pdv)[6:] for pdv in pdvs)
    return b"\x04\x00" + len(body).to_bytes(4, "big") + body
