"""Collects a command set out of the PDVs that it comes in (PS3.8 annex E), over as many PDUs and chunks as it takes."""

from typing import NamedTuple

from proxy.dimse.command import MAX_COMMAND_SET
from proxy.dimse.order import P_DATA_TF, SHORT_PDU, PduOrder
from proxy.dimse.pdv import COMMAND, HEADERS, LAST_FRAGMENT, Pdv, next_pdv
from proxy.pdu.errors import InvalidPduParameter

#: Bytes that are held back at most for one command set, with the headers around its fragments.
MOST_HELD = MAX_COMMAND_SET + HEADERS


class Collected(NamedTuple):
    """A command set that is complete, or a part that stays one (`encoded` None): an A-ABORT or a release follows it.

    `end`: the position after it. `rest`: bytes of its last PDU that follow.
    """

    context_id: int
    encoded: bytes | None
    end: int
    rest: int


class CommandCollector:
    """The fragments of a command set so far. The bytes they stand in are held back too, for they go on as they came.

    `scanned`: bytes of what is held back that have been read, 0 if nothing is held. Reading goes on after them, so that
    a command set that comes byte by byte is read once and not once for each byte.
    """

    __slots__ = ("_context_id", "_encoded", "_rest", "scanned")

    def __init__(self) -> None:
        self.scanned = 0
        self._rest = 0  # bytes of the PDU that follow those
        self._context_id = 0
        self._encoded = b""

    def read(
        self, data: memoryview, begun: int, rest: int, order: PduOrder, accepted: bytes, pdv: Pdv | None = None
    ) -> Collected | None:
        """Read on in the command set that begins at `begun`, where `rest` bytes of a PDU are left.

        `pdv`: its first fragment, if that was read already. Returns None while it is incomplete. Raises PduError.
        """
        position = begun + self.scanned
        if self.scanned:
            rest = self._rest
        while pdv is not None or rest or order.begins_p_data(data, position):
            if pdv is None and (pdv := next_pdv(data, position, rest, accepted)) is None:
                break
            if not self._add(pdv, data, begun):
                break
            if not rest:
                order.pdus[P_DATA_TF] += 1
            _, position, context_id, control, rest = pdv
            if control & LAST_FRAGMENT:
                return Collected(context_id, self._take(), position, rest)
            pdv = None
        else:
            # No P-DATA-TF, where `begins_p_data` lets nothing else pass: an A-ABORT or a release. A command set that is
            # never complete asks for nothing. It goes on once they go too, so that nothing of ours can come in between.
            if len(data) - position >= SHORT_PDU:
                self._take()
                return Collected(self._context_id, None, position, 0)
        self.scanned, self._rest = position - begun, rest
        return None

    def _add(self, pdv: Pdv, data: memoryview, begun: int) -> bool:
        """Add a fragment; return False while its bytes are incomplete."""
        start, end, context_id, control, _ = pdv
        if not control & COMMAND:
            raise InvalidPduParameter(f"data set fragment on context {context_id} inside a command set")
        if self._encoded and context_id != self._context_id:
            raise InvalidPduParameter(f"command set that changes to presentation context {context_id} inside")
        if end - begun > MOST_HELD:
            raise InvalidPduParameter(f"command set of more than {MAX_COMMAND_SET} bytes")
        if end > len(data):
            return False
        self._context_id = context_id
        self._encoded += data[start:end]
        return True

    def _take(self) -> bytes:
        encoded, self._encoded, self.scanned = self._encoded, b"", 0
        return encoded
