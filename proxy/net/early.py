"""What a requestor may do between its request and the answer: leave, and nothing else (PS3.8 section 9.2, Sta3)."""

from proxy.net.leg import Leg
from proxy.net.refused import Refused
from proxy.pdu import PduError, PduFramer, PduType
from proxy.policy import Abort, Ended, Reason

_ONLY_ABORT = frozenset({PduType.A_ABORT})
_ABORT_LENGTH = 4  # PS3.8 Table 9-26: behind the header


class EarlyWatch:
    """Listens to a requestor that waits. `heard` is the start of an A-ABORT, at most: the relay goes on from there."""

    __slots__ = ("_framer", "heard")

    def __init__(self) -> None:
        self._framer = PduFramer(_ABORT_LENGTH, _ONLY_ABORT)
        self.heard = b""

    def listen(self, leg: Leg) -> Refused | None:
        """Read once; what ends the association, if anything does."""
        data = leg.receive()
        if data:
            self.heard += bytes(data[: _ABORT_LENGTH + 6])
            try:
                if self._framer.feed(data) is not None:
                    text = "A-ABORT before the answer"
                    return Refused(Reason.REQUESTOR_GONE, text, ended=Ended.ABORTED_BY_REQUESTOR)
            except PduError as error:
                text = f"before the answer to the request: {error}"
                return Refused(Reason.PDU_UNEXPECTED, text, Abort(2, int(error.abort_reason)))
        if leg.eof:
            how = "without close_notify " if leg.truncated else ""
            reason = Reason.TLS_FAILED if leg.tls_failure is not None else Reason.REQUESTOR_GONE
            return Refused(reason, f"closed {how}before the answer to the request")
        return None
