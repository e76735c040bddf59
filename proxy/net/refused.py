"""The refusal of a requestor by a stage, and the bytes that answer it."""

from proxy.net.leg import Leg
from proxy.pdu import AbortSource, PduType, encode_abort, encode_associate_rj
from proxy.policy import Abort, Alert, Answer, Close, Ended, Reason, Reject
from proxy.tls.hello import encode_alert


class Refused(Exception):
    """Ends the stages of one association. `answer` goes on the wire; None stands for the answer of the reason.

    `ended` is `refused`, unless the requestor itself ended the connection. `detail` may contain text that a peer sent:
    escape it on output.
    """

    def __init__(
        self, reason: Reason | None, detail: str, answer: Answer | None = None, ended: Ended = Ended.REFUSED
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.ended = ended
        self.answer = answer if answer is not None or reason is None else reason.answer

    def limit_to(self, *, requested: bool, secured: bool, encrypted: bool) -> None:
        """Replace the answer by closing if it cannot be sent at this stage.

        `requested`: a complete request was read. `encrypted`: the listener has TLS. `secured`: the handshake is done.
        """
        answer = self.answer
        # A rejection answers a request. PDUs of a TLS listener need its handshake, and an alert in plain bytes belongs
        # before the end of a handshake: sent later, or on plaintext, it would be garbage to the peer.
        no_request = isinstance(answer, Reject) and not requested
        no_pdus_yet = isinstance(answer, Abort) and encrypted and not secured
        no_alert_of_ours = isinstance(answer, Alert) and answer.description is not None and (secured or not encrypted)
        if no_request or no_pdus_yet or no_alert_of_ours:
            self.answer = Close()


class UpstreamRefused(Refused):
    """The upstream's own A-ASSOCIATE-RJ or A-ABORT, passed on byte for byte.

    `triple`: bytes 7 to 9 of the PDU, counted from 0. These are (result, source, reason) of an A-ASSOCIATE-RJ (PS3.8
    Table 9-21), (reserved, source, reason) of an A-ABORT (Table 9-26). `reason` and `detail` replace the default ones,
    for an upstream that does not refuse by itself: a loop.
    """

    def __init__(self, pdu: bytes, reason: Reason | None = None, detail: str = "") -> None:
        rejected = pdu[0] == PduType.A_ASSOCIATE_RJ
        self.pdu = pdu
        self.triple = (pdu[7], pdu[8], pdu[9])
        name = "A-ASSOCIATE-RJ" if rejected else "A-ABORT"
        codes = "/".join(str(code) for code in (self.triple if rejected else self.triple[1:]))
        answer = Reject(*self.triple) if rejected else Abort(*self.triple[1:])
        if reason is None:
            reason = Reason.UPSTREAM_REJECTED if rejected else Reason.UPSTREAM_ABORTED
        super().__init__(reason, detail or f"the upstream answered {name} {codes}", answer)


def send_answer(leg: Leg, refused: Refused) -> None:
    """Send the answer of a refusal. An alert without a description is OpenSSL's, sent when the handshake failed."""
    answer = refused.answer
    if isinstance(refused, UpstreamRefused):
        leg.send(refused.pdu)
    elif isinstance(answer, Reject):
        leg.send(encode_associate_rj(answer.result, answer.source, answer.reason))
    elif isinstance(answer, Abort):
        leg.send(encode_abort(answer.source or AbortSource.SERVICE_USER, answer.reason))
    elif isinstance(answer, Alert) and answer.description is not None:
        leg.send_raw(encode_alert(answer.description))
