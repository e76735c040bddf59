"""Headers of a P-DATA-TF PDU and of the presentation data values (PDVs) in it (PS3.8 Tables 9-22 and 9-23).

The control header of a fragment (PS3.8 annex E.2) is read with them, so a PDV header has six bytes here.
"""

import functools
import struct
from typing import NamedTuple

from proxy.dimse.order import P_DATA_TF
from proxy.pdu.errors import InvalidPduParameter

COMMAND, LAST_FRAGMENT = 1, 2  # bits of the message control header (PS3.8 annex E.2)
PDU_HEADER = 6
#: Bytes of a PDU header and its first PDV header.
HEADERS = 12
_PDV_HEADER = HEADERS - PDU_HEADER

#: PDU type, PDU length, PDV length, context id, control header of a PDU and its first PDV.
read_headers = struct.Struct(">BxLLBB").unpack_from
_read_pdv_header = struct.Struct(">LBB").unpack_from
_pack_pdu_header = struct.Struct(">BxL").pack


class Pdv(NamedTuple):
    """One PDV of the chunk that is read. `start` and `end` of its fragment are positions in the chunk.

    `end` may lie beyond the chunk. `rest`: bytes of its PDU that follow it.
    """

    start: int
    end: int
    context_id: int
    control: int
    rest: int


@functools.lru_cache(maxsize=256)
def accepted_table(accepted_contexts: frozenset[int]) -> bytes:
    """Return context id -> 1 if accepted. Shared by both directions and by all associations with the same contexts."""
    return bytes(context_id in accepted_contexts for context_id in range(256))


def next_pdv(data: memoryview, position: int, rest: int, accepted: bytes) -> Pdv | None:
    """Read the PDV header at `position`, and the PDU header in front of it where `rest` is 0.

    `rest`: bytes of the PDU from `position` on. `accepted`: as `accepted_table` gives it.
    Returns None while the headers are incomplete. Raises InvalidPduParameter.
    """
    if rest:
        start = position + _PDV_HEADER
        if start > len(data):
            # Raised at once: the rest of a header that does not fit into its PDU would never come.
            if rest < _PDV_HEADER:
                raise InvalidPduParameter(f"{rest} bytes after the last PDV of a P-DATA-TF")
            return None
    else:
        if len(data) - position >= PDU_HEADER:
            rest = int.from_bytes(data[position + 2 : position + PDU_HEADER], "big")
            if rest < _PDV_HEADER:
                raise InvalidPduParameter(f"P-DATA-TF of length {rest}: no room for a PDV")
        start = position + HEADERS
        # The PDU header goes on only with the first PDV header. Alone it would make some peers block in a read of ten
        # bytes, and a violation in the PDV header would be found too late to keep the PDU from the other side.
        if start > len(data):
            return None
    if rest < _PDV_HEADER:
        raise InvalidPduParameter(f"{rest} bytes after the last PDV of a P-DATA-TF")
    length, context_id, control = _read_pdv_header(data, start - _PDV_HEADER)
    if length < 2 or length + 4 > rest:
        raise InvalidPduParameter(f"PDV of length {length} with {rest - 4} bytes left in its P-DATA-TF")
    # Such PDVs carry nothing: a peer could send them inside one message for ever.
    if length == 2 and not control & LAST_FRAGMENT:
        raise InvalidPduParameter("empty PDV that is not a last fragment")
    if not accepted[context_id]:
        raise InvalidPduParameter(f"PDV on presentation context {context_id}, which was not accepted")
    # Past `Pdv.__new__`, which is a Python function: this is called for nearly every PDU.
    return tuple.__new__(Pdv, (start, start + length - 2, context_id, control, rest - length - 4))


def encode_header(rest: int) -> bytes:
    """Encode the header of a P-DATA-TF of `rest` bytes."""
    return _pack_pdu_header(P_DATA_TF, rest)
