"""The order of PDUs in one direction of an established association (PS3.8 section 9.2, as a relay sees it)."""

from proxy.pdu.errors import InvalidPduParameter, UnexpectedPdu, UnrecognizedPdu
from proxy.pdu.model import PduType

#: A plain integer: an enum's comparison costs as much as the rest of `begins_p_data`.
P_DATA_TF = int(PduType.P_DATA_TF)
_HEADER = 6
#: A-RELEASE-RQ, A-RELEASE-RP and A-ABORT: the header and four bytes.
SHORT_PDU = _HEADER + 4


class PduOrder:
    """The order of PDUs in one direction; `opposite` is that of the other one.

        sent so far      P-DATA-TF      A-RELEASE-RQ        A-RELEASE-RP            A-ABORT
        ------------     ---------      -----------------   --------------------    ---------
        data only        stays          release_requested   release_answered (1)    aborted
        RELEASE-RQ       violation      violation           release_answered (1)    aborted
        RELEASE-RP       violation      violation           violation               aborted
        A-ABORT          any byte is a violation

    (1) Only once, and only if `opposite` has requested the release. If both sides request it at the same time (a
    release collision, PS3.8 section 7.2.2), each of them answers the other, hence the second line.
    """

    __slots__ = ("aborted", "opposite", "pdus", "release_answered", "release_requested")

    def __init__(self) -> None:
        self.opposite: PduOrder | None = None
        self.pdus = [0] * 8  # complete headers read, by PDU type
        self.release_requested = False
        self.release_answered = False
        self.aborted = False

    def begins_p_data(self, data: memoryview, position: int) -> bool:
        """Return whether a P-DATA-TF begins at `position`. Raises PduError if no PDU of that type may come now."""
        if position >= len(data):
            return False
        pdu_type = data[position]
        if pdu_type == P_DATA_TF and not (self.release_requested or self.release_answered or self.aborted):
            return True
        if self.aborted:
            raise UnexpectedPdu("data after an A-ABORT")
        if pdu_type == PduType.A_ABORT:
            return False
        if not 1 <= pdu_type <= 7:
            raise UnrecognizedPdu(f"PDU type {pdu_type:#04x}")
        name = PduType(pdu_type).name
        if pdu_type < P_DATA_TF:
            raise UnexpectedPdu(f"{name} on an established association")
        if pdu_type == PduType.A_RELEASE_RP:
            if self.release_answered or self.opposite is None or not self.opposite.release_requested:
                raise UnexpectedPdu(f"{name} without an A-RELEASE-RQ")
        elif self.release_requested or self.release_answered:
            raise UnexpectedPdu(f"{name} after an A-RELEASE")
        return False

    def read_short_pdu(self, data: memoryview, position: int) -> int:
        """Read an A-RELEASE-RQ, A-RELEASE-RP or A-ABORT (PS3.8 Tables 9-24 to 9-26) that `begins_p_data` let pass.

        Returns the position after it, or `position` while it is incomplete. Raises InvalidPduParameter.
        """
        end = len(data)
        if end - position < _HEADER:
            return position
        pdu_type = data[position]
        length = int.from_bytes(data[position + 2 : position + _HEADER], "big")
        if length != SHORT_PDU - _HEADER:
            raise InvalidPduParameter(f"{PduType(pdu_type).name} of length {length} instead of 4")
        if end - position < SHORT_PDU:
            return position
        self.pdus[pdu_type] += 1
        if pdu_type == PduType.A_RELEASE_RQ:
            self.release_requested = True
        elif pdu_type == PduType.A_RELEASE_RP:
            self.release_answered = True
        else:
            self.aborted = True
        return position + SHORT_PDU
