"""Walks one direction of an established association, PDU and PDV header by header, across any chunking.

It copies nothing and keeps no byte: `feed` says how many bytes may go on, and the caller puts what is left (an
incomplete header, 11 bytes at most) in front of the next chunk. The valid part before a violation may always go, so
that the chunking of TCP never changes what the other side receives.

The states are those of PS3.8 section 9.2 as a relay sees them: data until this side asks for release, one
A-RELEASE-RQ, an A-RELEASE-RP only as the answer to the other side's request, A-ABORT always.
"""

import functools
import struct

from proxy.pdu.errors import InvalidPduParameter, PduError, UnexpectedPdu, UnrecognizedPdu
from proxy.pdu.model import PduType

_PDU_AND_PDV_HEADER = struct.Struct(">BxLLBB").unpack_from  # PS3.8 9.3.1, Tables 9-22 and 9-23, and the control header
_PDV_HEADER = struct.Struct(">LBB").unpack_from
_P_DATA_TF = int(PduType.P_DATA_TF)
_SHORT_PDU = 10  # A-RELEASE-RQ, A-RELEASE-RP and A-ABORT: header and four bytes
_LAST_FRAGMENT = 2

#: No more than this is ever left over by `feed`.
LONGEST_HEADER = 12


@functools.lru_cache(maxsize=256)
def _table(accepted_contexts: frozenset[int]) -> bytes:
    """Context id -> 1 if it was accepted. Both directions, and all associations of like devices, share one."""
    return bytes(context_id in accepted_contexts for context_id in range(256))


class PduScanner:
    """One direction of one association. `accepted_contexts` are the ids that the A-ASSOCIATE-AC accepted.

    `boundary` is True when the last byte that was allowed ended a PDU; `pdu_left` is how many bytes are missing to the
    next such place. `pdus` counts by PDU type. `release_requested`, `release_answered` and `aborted` tell which of
    these PDUs went this way.
    """

    __slots__ = (
        "_accepted",
        "_fragment_left",
        "_rest_left",
        "aborted",
        "opposite",
        "pdus",
        "release_answered",
        "release_requested",
    )

    def __init__(self, accepted_contexts: frozenset[int]) -> None:
        self._accepted = _table(accepted_contexts)
        self._fragment_left = 0  # bytes of the fragment (or short PDU) that may still go unread
        self._rest_left = 0  # bytes of the P-DATA-TF behind that fragment: further PDVs
        self.opposite: PduScanner | None = None
        self.pdus = [0] * 8
        self.release_requested = False
        self.release_answered = False
        self.aborted = False

    @property
    def pdu_left(self) -> int:
        """Bytes that are missing until the next PDU boundary; 0 at one."""
        return self._fragment_left + self._rest_left

    @property
    def boundary(self) -> bool:
        """Whether the last byte that was allowed ended a PDU."""
        return not (self._fragment_left or self._rest_left)

    def feed(self, data: memoryview) -> tuple[int, PduError | None]:
        """How many bytes of `data` may go on, and the violation that stands behind them, if any.

        `data` is what the last call left over, followed by what has come since.
        """
        position = 0
        end = len(data)
        accepted = self._accepted
        fragment = self._fragment_left
        rest = self._rest_left
        violation: PduError | None = None
        while True:
            if fragment:
                available = end - position
                if fragment > available:
                    fragment -= available
                    position = end
                    break
                position += fragment
                fragment = 0
            if not rest:
                if end - position >= LONGEST_HEADER:
                    pdu_type, length, pdv_length, context_id, _ = _PDU_AND_PDV_HEADER(data, position)
                    # The common case, decided by one comparison: a P-DATA-TF that holds one PDV on an accepted context.
                    if (
                        pdu_type == _P_DATA_TF
                        and length == pdv_length + 4
                        and pdv_length > 2
                        and accepted[context_id]
                        and not self.release_requested
                        and not self.release_answered
                        and not self.aborted
                    ):
                        self.pdus[_P_DATA_TF] += 1
                        position += LONGEST_HEADER
                        fragment = pdv_length - 2
                        continue
                try:
                    pdu = self._begin_pdu(data, position, end)
                except PduError as error:
                    violation = error
                    break
                if pdu is None:
                    break
                position, fragment, rest = pdu
            else:
                if rest >= 6 > end - position:
                    break
                try:
                    fragment = self._check_pdv(data, position, rest)
                except PduError as error:
                    violation = error
                    break
                position += 6
                rest -= fragment + 6
        self._fragment_left = fragment
        self._rest_left = rest
        return position, violation

    def _begin_pdu(self, data: memoryview, position: int, end: int) -> tuple[int, int, int] | None:
        """Check the header at `position`; (new position, fragment, rest), or None while it is incomplete."""
        if position == end:
            return None
        if self.aborted:
            raise UnexpectedPdu("data behind an A-ABORT")
        self._check_type(data[position])
        if end - position < 6:
            return None
        pdu_type = data[position]
        length = int.from_bytes(data[position + 2 : position + 6], "big")
        if pdu_type == _P_DATA_TF:
            if length < 6:
                raise InvalidPduParameter(f"P-DATA-TF of length {length}: no room for a PDV")
            if end - position < LONGEST_HEADER:
                # Checked before the PDU header goes, so that no lone header is ever sent: some peers block on ten.
                return None
            fragment = self._check_pdv(data, position + 6, length)
            self.pdus[_P_DATA_TF] += 1
            return position + LONGEST_HEADER, fragment, length - fragment - 6
        if length != 4:
            raise InvalidPduParameter(f"{PduType(pdu_type).name} of length {length} instead of 4")
        if end - position < _SHORT_PDU:
            return None
        self.pdus[pdu_type] += 1
        if pdu_type == PduType.A_RELEASE_RQ:
            self.release_requested = True
        elif pdu_type == PduType.A_RELEASE_RP:
            self.release_answered = True
        else:
            self.aborted = True
        return position + _SHORT_PDU, 0, 0

    def _check_type(self, pdu_type: int) -> None:
        """Whether the state allows this PDU (PS3.8 Table 9-10)."""
        if pdu_type == PduType.A_ABORT:
            return
        if not 1 <= pdu_type <= 7:
            raise UnrecognizedPdu(f"PDU type {pdu_type:#04x}")
        name = PduType(pdu_type).name
        if pdu_type < _P_DATA_TF:
            raise UnexpectedPdu(f"{name} on an established association")
        if pdu_type == PduType.A_RELEASE_RP:
            if self.release_answered or self.opposite is None or not self.opposite.release_requested:
                raise UnexpectedPdu(f"{name} without an A-RELEASE-RQ")
        elif self.release_requested or self.release_answered:
            raise UnexpectedPdu(f"{name} behind an A-RELEASE")

    def _check_pdv(self, data: memoryview, position: int, left: int) -> int:
        """The length of the fragment of the PDV at `position` (PS3.8 Table 9-23), `left` bytes before the PDU's end."""
        if left < 6:
            raise InvalidPduParameter(f"{left} bytes behind the last PDV of a P-DATA-TF")
        length, context_id, control = _PDV_HEADER(data, position)
        if length < 2 or length + 4 > left:
            raise InvalidPduParameter(f"PDV of length {length} with {left - 4} bytes left in its P-DATA-TF")
        if length == 2 and not control & _LAST_FRAGMENT:
            raise InvalidPduParameter("empty PDV that is not a last fragment")
        if not self._accepted[context_id]:
            raise InvalidPduParameter(f"PDV on presentation context {context_id}, which was not accepted")
        return int(length) - 2
