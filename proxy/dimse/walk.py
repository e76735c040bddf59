"""Walks one direction of an established association, PDU by PDU and message by message, across any chunking.

Data set bytes are never held back and never copied. Held back, by the caller and in front of the next chunk, is what
must be known before it may go: an incomplete header, and an incomplete command set with the PDU headers around it. The
valid part before a violation always goes, so that the chunking of TCP never changes what the other side receives.

A request that may not pass is swallowed with its data set, and left in `refused` when its last byte has come. What
stands behind it in the same PDU goes on under a PDU header of its own.

The states are those of PS3.8 section 9.2 as a relay sees them (data until this side asks for release, one A-RELEASE-RQ,
an A-RELEASE-RP only as the answer to the other side's request, A-ABORT always), and those of PS3.8 annex E: one message
at a time, its command set first.
"""

import functools
import struct

from proxy.dimse.command import MAX_COMMAND_SET, N_ACTION, DimseError, decode_command
from proxy.dimse.inspection import Inspection, OpenRequest, RefusedCommand
from proxy.pdu.errors import AbortReason, InvalidPduParameter, PduError, UnexpectedPdu, UnrecognizedPdu
from proxy.pdu.model import PduType

_PDU_AND_PDV_HEADER = struct.Struct(">BxLLBB").unpack_from  # PS3.8 9.3.1, Tables 9-22 and 9-23, and the control header
_PDV_HEADER = struct.Struct(">LBB").unpack_from
_P_DATA_HEADER = struct.Struct(">BxL").pack
_P_DATA_TF = int(PduType.P_DATA_TF)
_SHORT_PDU = 10  # A-RELEASE-RQ, A-RELEASE-RP and A-ABORT: header and four bytes
_HEADERS = 12  # of a PDU and its first PDV
_COMMAND, _LAST_FRAGMENT = 1, 2  # bits of the message control header (PS3.8 annex E.2)

_MOST_HELD = MAX_COMMAND_SET + _HEADERS
#: No more than this is ever left over by `feed`.
LONGEST_HELD_BACK = _MOST_HELD + _HEADERS


class RefusedTooLate(PduError):
    """A command may not pass, and a part of its PDU has gone already."""

    abort_reason = AbortReason.NOT_SPECIFIED

    def __init__(self, refused: RefusedCommand) -> None:
        super().__init__(refused.detail)
        self.refused = refused


# The data set of a response counts for nobody.
_OF_A_RESPONSE = OpenRequest(0, "", 0.0)


@functools.lru_cache(maxsize=256)
def _table(accepted_contexts: frozenset[int]) -> bytes:
    """Context id -> 1 if it was accepted. Both directions, and all associations of like devices, share one."""
    return bytes(context_id in accepted_contexts for context_id in range(256))


class MessageWalk:
    """One direction of one association. `accepted_contexts` are the ids that the A-ASSOCIATE-AC accepted.

    `boundary`, `between` and `pdu_left` tell of the bytes that were let through: whether the last one ended a PDU;
    whether it ended a message too, so that one of ours can follow; how many are missing to the end of the PDU.
    `pdus` counts what came, by PDU type. `release_requested`, `release_answered` and `aborted` tell which of these PDUs
    went this way.
    """

    __slots__ = (
        "_accepted",
        "_collected",
        "_collecting",
        "_cuts",
        "_from_requestor",
        "_header_owed",
        "_inspection",
        "_last",
        "_left",
        "_message",
        "_more_to_come",
        "_opened",
        "_rest",
        "_scanned",
        "_scanned_rest",
        "_swallowed",
        "aborted",
        "opposite",
        "pdus",
        "refused",
        "release_answered",
        "release_requested",
        "stop_between",
    )

    def __init__(self, accepted_contexts: frozenset[int], inspection: Inspection, *, from_requestor: bool) -> None:
        self._accepted = _table(accepted_contexts)
        self._inspection = inspection
        self._from_requestor = from_requestor
        self._left = 0  # bytes of the current fragment that are still to come
        self._rest = 0  # bytes of the P-DATA-TF behind that fragment: further PDVs
        self._last = False  # the current fragment ends its message
        self._message: int | None = (
            None  # the context whose data set is awaited or under way; None: a command comes next
        )
        self._opened = _OF_A_RESPONSE  # whose data set that is
        self._swallowed: RefusedCommand | None = None  # whose data set that is, where it may not pass
        self._header_owed = False  # the PDU's start was swallowed: what follows in it needs a new header
        # A command set that is not whole: how far into what is held back it was read, and its fragments so far.
        self._scanned = 0
        self._scanned_rest = 0
        self._collected = b""
        self._collecting = 0  # their context
        self._more_to_come = False  # behind the last message, a response, though nothing is awaited
        self._cuts: list[tuple[int, int, bytes]] | None = None  # of the chunk being fed, where anything is cut
        self.opposite: MessageWalk | None = None
        self.stop_between = False  # `feed` stops where `between` comes true
        self.refused: tuple[
            RefusedCommand, ...
        ] = ()  # swallowed to the last byte: for the caller to answer, and to clear
        self.pdus = [0] * 8
        self.release_requested = False
        self.release_answered = False
        self.aborted = False

    @property
    def pdu_left(self) -> int:
        """Bytes that the other side misses until the next PDU boundary; 0 at one."""
        return 0 if self._swallowed is not None or self._header_owed else self._left + self._rest

    @property
    def boundary(self) -> bool:
        """Whether the last byte that was let through ended a PDU."""
        return not self.pdu_left

    @property
    def between(self) -> bool:
        """Whether the last byte that was let through ended a message and its PDU."""
        return not self.pdu_left and (not self._message or self._swallowed is not None)

    @property
    def awaits_more(self) -> bool:
        """Whether the sender has more to send before it hears from the other side."""
        return bool(self._message or self._left or self._rest or self._scanned or self._more_to_come)

    def feed(self, data: memoryview) -> tuple[memoryview | bytes, int, PduError | None]:
        """What goes on, how many bytes of `data` are dealt with by that, and the violation behind them, if any.

        `data` is what the last call left over, followed by what has come since.
        """
        position = 0
        end = len(data)
        left = self._left
        violation: PduError | None = None
        try:
            while True:
                if left:
                    begun = position
                    if left > end - position:
                        left -= end - position
                        position = end
                    else:
                        position += left
                        left = 0
                    if self._swallowed is not None:
                        self._cut(begun, position)
                    if left:
                        break
                if self._last:
                    self._end_message()
                if self.stop_between:
                    self._left = left
                    if self.between:
                        break
                if not self._rest and end - position >= _HEADERS:
                    pdu_type, length, pdv_length, context_id, control = _PDU_AND_PDV_HEADER(data, position)
                    # The common case, decided at once: a P-DATA-TF of one PDV, inside the message under way.
                    if (
                        context_id == self._message
                        and not control
                        and pdu_type == _P_DATA_TF
                        and length == pdv_length + 4
                        and pdv_length > 2
                        and self._swallowed is None
                    ):
                        self.pdus[_P_DATA_TF] += 1
                        position += _HEADERS
                        left = pdv_length - 2
                        self._opened.size += left
                        continue
                begun = position
                position = self._step(data, position)
                if position == begun:
                    break
                left = self._left
        except PduError as error:
            violation = error
        self._left = left
        return self._output(data, position), position, violation

    def _output(self, data: memoryview, end: int) -> memoryview | bytes:
        if self._cuts is None:
            return data[:end]
        pieces: list[memoryview | bytes] = []
        position = 0
        for start, stop, instead in self._cuts:
            pieces += (data[position:start], instead)
            position = stop
        pieces.append(data[position:end])
        self._cuts = None
        return b"".join(pieces)

    def _cut(self, start: int, stop: int, instead: bytes = b"") -> None:
        """Let `instead` go on where these bytes of the chunk do not."""
        if self._cuts is None:
            self._cuts = []
        elif not instead and self._cuts[-1][1] == start:  # a message of tiny fragments is one cut, not thousands
            start, _, instead = self._cuts.pop()
        self._cuts.append((start, stop, instead))

    def _end_message(self) -> None:
        self._last = False
        self._message = None
        if self._swallowed is not None:
            self.refused += (self._swallowed,)
            self._swallowed = None
            self._header_owed = self._rest > 0

    def _step(self, data: memoryview, position: int) -> int:
        """Deal with the header at `position` and the command set behind it; `position` while they are not whole."""
        self._left = 0
        if self._scanned:
            return self._collect(data, position, position + self._scanned, self._scanned_rest)
        if not self._rest and not self._is_p_data(data, position):
            return self._short_pdu(data, position)
        pdv = self._next_pdv(data, position, self._rest)
        if pdv is None:
            return position
        start, length, context_id, control, rest = pdv
        if control & _COMMAND:
            if self._message is not None:
                raise InvalidPduParameter(f"command set on presentation context {context_id} inside a data set")
            return self._collect(data, position, position, self._rest, pdv)
        if context_id != self._message:
            raise InvalidPduParameter(f"data set fragment on presentation context {context_id} without its command set")
        if not self._rest:
            self.pdus[_P_DATA_TF] += 1
        self._left, self._rest, self._last = length, rest, bool(control & _LAST_FRAGMENT)
        if self._swallowed is not None:
            self._cut(position, start)
        else:
            self._opened.size += length
        return start

    def _collect(
        self, data: memoryview, begun: int, position: int, rest: int, pdv: tuple[int, int, int, int, int] | None = None
    ) -> int:
        """Read on in the command set that begins at `begun`, from the header at `position`.

        `rest`: bytes left of the PDU there, 0 where a PDU begins. `pdv` is what stands at `position`, if that is known.
        The position behind the command set; `begun` while it is not whole.
        """
        while pdv is not None or rest or self._is_p_data(data, position):
            if pdv is None and (pdv := self._next_pdv(data, position, rest)) is None:
                break
            start, length, context_id, control, behind = pdv
            pdv = None
            if not control & _COMMAND:
                raise InvalidPduParameter(f"data set fragment on context {context_id} inside a command set")
            if self._collected and context_id != self._collecting:
                raise InvalidPduParameter(f"command set that changes to presentation context {context_id} inside")
            if start + length - begun > _MOST_HELD:
                raise InvalidPduParameter(f"command set of more than {MAX_COMMAND_SET} bytes")
            if start + length > len(data):
                break
            if not rest:
                self.pdus[_P_DATA_TF] += 1
            position, rest = start + length, behind
            self._collecting = context_id
            self._collected += bytes(data[start:position])
            if control & _LAST_FRAGMENT:
                self._scanned = 0
                command, self._collected = self._collected, b""
                self._judge(context_id, command, begun, position, rest)
                return position
        else:
            if len(data) - position >= _SHORT_PDU:
                # An A-ABORT or a release instead of the rest: a command set that is never whole asks for nothing. They
                # go together, so that nothing of ours can stand behind a part of a message.
                self._scanned = 0
                self._collected = b""
                self._pay_header(begun)
                self._rest = 0
                return position
        self._scanned, self._scanned_rest = position - begun, rest
        return begun

    def _judge(self, context_id: int, encoded: bytes, begun: int, end: int, rest: int) -> None:
        """Let a whole command set through, or swallow it; `rest` bytes of its last PDU are behind it."""
        verdict: RefusedCommand | OpenRequest | None = None
        try:
            command = decode_command(encoded)
            if command.is_response:
                final = self._inspection.response(context_id, command, from_requestor=self._from_requestor)
                # The result of storage commitment can follow its N-ACTION-RSP at once, as an N-EVENT-REPORT-RQ.
                self._more_to_come = not final or command.request == N_ACTION
            else:
                self._more_to_come = False
                verdict = self._inspection.request(context_id, command, from_requestor=self._from_requestor)
        except DimseError as error:
            raise InvalidPduParameter(str(error)) from None
        if isinstance(verdict, RefusedCommand):
            if self._rest and not self._header_owed:
                raise RefusedTooLate(verdict)
            self._cut(begun, end)
            self._header_owed = rest > 0
            if command.has_data_set:
                self._message, self._swallowed = context_id, verdict
            else:
                self.refused += (verdict,)
        else:
            self._pay_header(begun)
            if command.has_data_set:
                self._message, self._opened = context_id, verdict or _OF_A_RESPONSE
        self._rest = rest

    def _pay_header(self, position: int) -> None:
        """What goes on from `position` is the rest of a PDU whose start was swallowed."""
        if self._header_owed:
            self._header_owed = False
            self._cut(position, position, _P_DATA_HEADER(_P_DATA_TF, self._rest))

    def _next_pdv(self, data: memoryview, position: int, rest: int) -> tuple[int, int, int, int, int] | None:
        """The PDV whose header, or whose PDU's header, is at `position` (PS3.8 Tables 9-22 and 9-23).

        Where its fragment starts, the fragment's length, context id, control header, and the bytes of its PDU behind
        it. None while its headers are not whole. `rest`: bytes left of the PDU, 0 where a PDU begins.
        """
        if rest:
            start = position + 6
            if start > len(data):
                if rest < 6:
                    raise InvalidPduParameter(f"{rest} bytes behind the last PDV of a P-DATA-TF")
                return None
        else:
            if len(data) - position >= 6:
                rest = int.from_bytes(data[position + 2 : position + 6], "big")
                if rest < 6:
                    raise InvalidPduParameter(f"P-DATA-TF of length {rest}: no room for a PDV")
            start = position + _HEADERS
            # Checked before the PDU header goes, so that no lone header is ever sent: some peers block on ten.
            if start > len(data):
                return None
        if rest < 6:
            raise InvalidPduParameter(f"{rest} bytes behind the last PDV of a P-DATA-TF")
        length, context_id, control = _PDV_HEADER(data, start - 6)
        if length < 2 or length + 4 > rest:
            raise InvalidPduParameter(f"PDV of length {length} with {rest - 4} bytes left in its P-DATA-TF")
        if length == 2 and not control & _LAST_FRAGMENT:
            raise InvalidPduParameter("empty PDV that is not a last fragment")
        if not self._accepted[context_id]:
            raise InvalidPduParameter(f"PDV on presentation context {context_id}, which was not accepted")
        return start, length - 2, context_id, control, rest - length - 4

    def _is_p_data(self, data: memoryview, position: int) -> bool:
        """Whether a P-DATA-TF begins at `position`. Raises where the state allows no PDU of that type (PS3.8 9.2)."""
        if position >= len(data):
            return False
        pdu_type = data[position]
        if pdu_type == _P_DATA_TF and not (self.release_requested or self.release_answered or self.aborted):
            return True
        if self.aborted:
            raise UnexpectedPdu("data behind an A-ABORT")
        if pdu_type == PduType.A_ABORT:
            return False
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
        return False

    def _short_pdu(self, data: memoryview, position: int) -> int:
        """A-RELEASE-RQ, A-RELEASE-RP or A-ABORT at `position` (PS3.8 Tables 9-24 to 9-26)."""
        end = len(data)
        if end - position < 6:
            return position
        pdu_type = data[position]
        length = int.from_bytes(data[position + 2 : position + 6], "big")
        if length != 4:
            raise InvalidPduParameter(f"{PduType(pdu_type).name} of length {length} instead of 4")
        if end - position < _SHORT_PDU:
            return position
        self.pdus[pdu_type] += 1
        if pdu_type == PduType.A_RELEASE_RQ:
            self.release_requested = True
        elif pdu_type == PduType.A_RELEASE_RP:
            self.release_answered = True
        else:
            self.aborted = True
        self._message = None  # no more of it is allowed to come
        self._more_to_come = False
        return position + _SHORT_PDU
