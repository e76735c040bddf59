"""Walks one direction of an established association, PDU by PDU and message by message, across any chunking.

The walk decides which bytes of a chunk go on. Four things are coupled in it:

- the order of PDUs (PS3.8 section 9.2): data until a release or an abort; drawn in order.py;
- the message (PS3.8 annex E): a command set, and the data set that it announces; drawn here;
- the place in the PDU: `_left` bytes of a fragment are still to come, then `_rest` bytes of the PDU (0 and 0 between);
- the debt: `_header_owed`, a PDU header that must be written before the next PDV of the PDU goes on.

    state     what is under way                       in the fields
    -------   -------------------------------------   -----------------------------------------------------
    BETWEEN   no message                              `_message` None, `_command.scanned` 0
    COMMAND   a command set that is not complete      `_command.scanned` > 0, once its first fragment is complete
    DATA      the data set of a command that went on  `_message` its context, `_swallowed` None
    SWALLOW   the data set of a refused command       `_message` its context, `_swallowed` the refusal

    state     event                                   next      goes on                   is held back
    -------   -------------------------------------   -------   -----------------------   ------------------------
    any       a header that is not complete           the same  nothing of it             it, under 12 bytes
    between   A-RELEASE-RQ, A-RELEASE-RP, A-ABORT     the end   the PDU                   nothing
     PDUs
    BETWEEN,  a fragment that has not arrived whole   the same  nothing                   all since its first header
    COMMAND   a command fragment, not the last one    COMMAND   nothing                   all since its first header
              the last one: allowed, no data set      BETWEEN   all that was held         nothing
                            allowed, with data set    DATA      all that was held         nothing
                            refused (1), no data set  BETWEEN   nothing                   nothing
                            refused (1), with one     SWALLOW   nothing                   nothing
    DATA      bytes of a fragment                     DATA      they                      nothing
              the last byte of the last fragment      BETWEEN   it                        nothing
    SWALLOW   headers, and bytes of a fragment        SWALLOW   nothing                   nothing
              the last byte of the last fragment (2)  BETWEEN   nothing                   nothing

    Anything else is a violation: a data fragment in BETWEEN or COMMAND, a command fragment in DATA or SWALLOW, another
    context inside a message. (1) RefusedTooLate if the beginning of its PDU has gone on; see below. (2) The refusal is
    added to `refused`, for the caller to answer; without a data set that is done at once.

Why it is so:

- A command set is held back until it is complete: the verdict needs all of it, and what has gone on cannot be called
  back. Its length is bounded (64 KiB; some hundred bytes are usual), and with it what a peer can make the gateway hold.
- The bytes that are held stay with the caller, who puts them in front of the next chunk. So the walk owns no buffer,
  what goes on is a slice of the caller's own, and `_command` remembers how far the held bytes have been read.
- A data set is never held back and never copied: its size costs no memory.
- A PDU header goes on together with the first PDV header. Only then is it known whether the PDU may go on, and some
  peers read ten bytes at once and would block on the six of a PDU header.
- A refused request is cut out with its data set: a PACS that gets one without the other is out of step for good.
- A cut at the beginning of a PDU takes the PDU header with it. PDVs of the same PDU that follow and may go on get a
  header with the length that is left (`_header_owed`): a PDU may be divided between any two of its PDVs. The header is
  owed and not written at once, because the next message in the PDU may have to be cut as well.
- Where an allowed message came first in the same PDU, that PDU's header has gone on, and its length promises the
  refused bytes to the other side. They can neither be cut nor go on, so the association ends (RefusedTooLate).
- The caller answers a refusal with a message of the gateway's own in the other direction. It must not stand inside
  another message (annex E), hence `between` and `stop_between`.
- A violation is returned together with the bytes before it, not instead of them. Otherwise the chunks into which TCP
  happened to cut the stream would decide what the other side receives.
"""

from proxy.dimse.command import N_ACTION, DimseError, decode_command
from proxy.dimse.command_collector import MOST_HELD, CommandCollector
from proxy.dimse.inspection import Inspection, OpenRequest, RefusedCommand, RefusedTooLate
from proxy.dimse.order import P_DATA_TF, PduOrder
from proxy.dimse.pdv import COMMAND, HEADERS, LAST_FRAGMENT, Pdv, accepted_table, encode_header, next_pdv, read_headers
from proxy.pdu.errors import InvalidPduParameter, PduError
from proxy.pdu.splice import Patch, splice

#: No more than this is ever left over by `feed`: a command set, and the headers of the next PDU.
LONGEST_HELD_BACK = MOST_HELD + HEADERS


# Shared by all walks: the sizes of data sets of responses are added here and never read.
_OF_A_RESPONSE = OpenRequest(0, "", 0.0)


class MessageWalk(PduOrder):
    """One direction of one association. `accepted_contexts`: the ids that the A-ASSOCIATE-AC accepted.

    Where the bytes that have gone on end: `boundary` at the end of a PDU, `between` at the end of a message too, so
    that one of ours may follow; `pdu_left` bytes of the PDU are still to go.
    """

    __slots__ = (
        "_accepted",
        "_command",
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
        "_swallowed",
        "refused",
        "stop_between",
    )

    def __init__(self, accepted_contexts: frozenset[int], inspection: Inspection, *, from_requestor: bool) -> None:
        super().__init__()
        self._accepted = accepted_table(accepted_contexts)
        self._inspection = inspection
        self._from_requestor = from_requestor
        self._left = 0  # bytes of the current fragment that are still to come
        # Bytes of the P-DATA-TF after that fragment: further PDVs. While a command set is held, of the PDU where the
        # command set began; the collector knows the place in the current PDU. So `_pay_header` comes before `_rest` is
        # set to that of the current PDU.
        self._rest = 0
        self._last = False  # the current fragment is the last one of its message
        # The context of the data set that is expected or under way; None: a command set comes next.
        self._message: int | None = None
        self._opened = _OF_A_RESPONSE  # the request of that data set, while the data set goes on
        self._swallowed: RefusedCommand | None = None  # the refusal of its request, while the data set is dropped
        self._header_owed = False  # the PDU's beginning was cut: what follows in it needs a header of its own
        self._command = CommandCollector()
        self._more_to_come = False  # the last message, a response, announces another message
        self._cuts: list[Patch] | None = None  # of the chunk that is fed; None: it goes on as it is
        self.stop_between = False  # `feed` stops as soon as `between` is true
        # Requests that were cut out to their last byte. The caller answers them and empties this.
        self.refused: tuple[RefusedCommand, ...] = ()

    @property
    def pdu_left(self) -> int:
        """Bytes to go on until the next PDU boundary, as the other side counts; 0 at a boundary."""
        return 0 if self._swallowed is not None or self._header_owed else self._left + self._rest

    @property
    def boundary(self) -> bool:
        """Return whether the bytes that have gone on end with a PDU."""
        return not self.pdu_left

    @property
    def between(self) -> bool:
        """Return whether the bytes that have gone on end with a message and its PDU."""
        return not self.pdu_left and (not self._message or self._swallowed is not None)

    @property
    def awaits_more(self) -> bool:
        """Return whether the sender has something to send before the other side has.

        Bytes that the caller holds back are not counted here.
        """
        return bool(self._message or self._left or self._rest or self._command.scanned or self._more_to_come)

    def feed(self, data: memoryview) -> tuple[memoryview | bytes, int, PduError | None]:
        """Return what goes on, how many bytes of `data` were used for it, and the violation after those, if any.

        `data`: what the last call did not use, followed by what has arrived since. No call leaves more than
        LONGEST_HELD_BACK, unless `stop_between` stopped it: then the caller feeds the rest at once. After a violation
        the walk is used no more.
        """
        position = 0
        end = len(data)
        left = self._left  # a local copy, for speed; `_left` is stale inside the loop, except where it is asked for
        violation: PduError | None = None
        try:
            while True:
                if left:
                    begun = position
                    position += left
                    left = 0
                    if position > end:
                        left = position - end
                        position = end
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
                if not self._rest and end - position >= HEADERS:
                    pdu_type, length, pdv_length, context_id, control = read_headers(data, position)
                    # The common case, which `_step` would read alike but slower: a P-DATA-TF of one PDV that belongs
                    # to the data set under way. 64 Ki of them are in a GiB, and each costs a quarter this way.
                    if (
                        context_id == self._message
                        and (not control or control == LAST_FRAGMENT)
                        and pdu_type == P_DATA_TF
                        and length == pdv_length + 4
                        and pdv_length > 2
                        and self._swallowed is None
                    ):
                        self.pdus[P_DATA_TF] += 1
                        position += HEADERS
                        left = pdv_length - 2
                        self._opened.size += left
                        if control:
                            self._last = True
                        continue
                begun = position
                position = self._step(data, position)
                if position == begun:
                    break
                left = self._left
        except PduError as error:
            violation = error
        self._left = left
        went, cuts = data[:position], self._cuts
        if cuts is None:
            return went, position, violation
        self._cuts = None
        return splice(went, cuts), position, violation

    def _cut(self, start: int, end: int, instead: bytes = b"") -> None:
        """Replace bytes of the chunk by `instead`."""
        if self._cuts is None:
            self._cuts = []
        elif not instead and self._cuts[-1].end == start:  # thousands of tiny fragments are one cut
            last = self._cuts.pop()
            start, instead = last.start, last.replacement
        self._cuts.append(Patch(start, end, instead))

    def _end_message(self) -> None:
        self._last = False
        self._message = None
        if self._swallowed is not None:
            self.refused += (self._swallowed,)
            self._swallowed = None
            self._header_owed = self._rest > 0

    def _step(self, data: memoryview, position: int) -> int:
        """Read the header at `position`, and the command set after it. Returns `position` while they are incomplete."""
        self._left = 0
        if self._command.scanned:
            return self._collect(data, position)
        if not self._rest and not self.begins_p_data(data, position):
            return self._end(data, position)
        pdv = next_pdv(data, position, self._rest, self._accepted)
        if pdv is None:
            return position
        start, end, context_id, control, rest = pdv
        if control & COMMAND:
            if self._message is not None:
                raise InvalidPduParameter(f"command set on presentation context {context_id} inside a data set")
            if not control & LAST_FRAGMENT or end > len(data) or end - position > MOST_HELD:
                return self._collect(data, position, pdv)
            if not self._rest:
                self.pdus[P_DATA_TF] += 1
            self._judge(context_id, bytes(data[start:end]), position, end, rest)
            return end
        if context_id != self._message:
            raise InvalidPduParameter(f"data set fragment on presentation context {context_id} without its command set")
        if not self._rest:
            self.pdus[P_DATA_TF] += 1
        self._left, self._rest, self._last = end - start, rest, bool(control & LAST_FRAGMENT)
        if self._swallowed is not None:
            self._cut(position, start)
        else:
            self._opened.size += end - start
        return start

    def _end(self, data: memoryview, position: int) -> int:
        """Read the PDU that ends this direction; the rest of a message may not come any more."""
        after = self.read_short_pdu(data, position)
        if after > position:
            # The fast path of `feed` does not ask the order of PDUs: without a message it does not match any more.
            self._message = None
            self._more_to_come = False
        return after

    def _collect(self, data: memoryview, begun: int, pdv: Pdv | None = None) -> int:
        """Read on in the command set that begins at `begun`. `pdv`: its first fragment, if that was read already.

        Returns the position after the command set, or `begun` while it is incomplete.
        """
        found = self._command.read(data, begun, self._rest, self, self._accepted, pdv)
        if found is None:
            return begun
        context_id, encoded, end, rest = found
        if encoded is None:
            self._pay_header(begun)
            self._rest = 0
        else:
            self._judge(context_id, encoded, begun, end, rest)
        return end

    def _judge(self, context_id: int, encoded: bytes, begun: int, end: int, rest: int) -> None:
        """Let a complete command set go on, or cut it out. `rest` bytes of its last PDU follow it."""
        verdict: RefusedCommand | OpenRequest | None = None
        try:
            command = decode_command(encoded)
            if command.is_response:
                final = self._inspection.response(context_id, command, from_requestor=self._from_requestor)
                # The result of a storage commitment may follow its N-ACTION-RSP at once, as an N-EVENT-REPORT-RQ.
                self._more_to_come = not final or command.request == N_ACTION
            else:
                self._more_to_come = False
                verdict = self._inspection.request(context_id, command, from_requestor=self._from_requestor)
        except DimseError as error:
            raise InvalidPduParameter(str(error)) from None
        if isinstance(verdict, RefusedCommand):
            # `_rest` is still that of the PDU where the command set began, 0 if it began with a PDU of its own.
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
        """Insert the header that is owed: the rest of a PDU whose beginning was cut goes on from `position`."""
        if self._header_owed:
            self._header_owed = False
            self._cut(position, position, encode_header(self._rest))
