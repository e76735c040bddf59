"""The watch on a requestor between its request and the answer.

In this state (PS3.8 section 9.2, Sta3) a requestor may only abort. The watch notices that at once, and a closed
connection too, so that the gateway does not dial or wait for a requestor that has left.
"""

from proxy.net.leg import Leg
from proxy.net.refused import Refused
from proxy.pdu import AbortSource, PduError, PduFramer, PduType
from proxy.policy import Abort, Ended, Reason

_ONLY_ABORT = frozenset({PduType.A_ABORT})
_ABORT_LENGTH = 4  # bytes after the header of 6 (PS3.8 Table 9-26)


class EarlyWatch:
    """Reads a requestor that waits. `buffered` is at most the start of an A-ABORT; the relay continues from it."""

    __slots__ = ("_framer", "buffered")

    def __init__(self) -> None:
        self._framer = PduFramer(_ABORT_LENGTH, _ONLY_ABORT)
        self.buffered = b""

    def listen(self, leg: Leg) -> Refused | None:
        """Read once. Return the refusal that ends the association, if one does."""
        data = leg.receive()
        if data:
            # At most one A-ABORT is kept: the framer refuses the first byte of anything else.
            self.buffered += bytes(data[: _ABORT_LENGTH + 6])
            try:
                if self._framer.feed(data) is not None:
                    text = "A-ABORT before the answer"
                    return Refused(Reason.REQUESTOR_GONE, text, ended=Ended.ABORTED_BY_REQUESTOR)
            except PduError as error:
                text = f"before the answer to the request: {error}"
                return Refused(Reason.PDU_UNEXPECTED, text, Abort(AbortSource.SERVICE_PROVIDER, error.abort_reason))
        if leg.eof:
            how = "without close_notify " if leg.truncated else ""
            reason = Reason.TLS_FAILED if leg.tls_failure is not None else Reason.REQUESTOR_GONE
            return Refused(reason, f"closed {how}before the answer to the request")
        return None
