"""A stage's way to say no, and how it is said on the wire."""

from proxy.net.leg import Leg
from proxy.pdu import PduType, encode_abort, encode_associate_rj
from proxy.policy import Abort, Alert, Answer, Close, Ended, Reason, Reject
from proxy.tls.hello import encode_alert


class Refused(Exception):
    """Ends the stages of one association. `answer` is what goes on the wire; None stands for the reason's own.

    `ended` is `refused` unless the requestor itself ended it. `detail` may hold what a peer sent: escape it on output.
    """

    def __init__(
        self, reason: Reason | None, detail: str, answer: Answer | None = None, ended: Ended = Ended.REFUSED
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.ended = ended
        self.answer = answer if answer is not None or reason is None else reason.answer

    def limit_to(self, *, requested: bool, spoken: bool, encrypted: bool) -> None:
        """Close without an answer where the stage has no words for it, as when a drain comes before the request.

        `requested`: a complete request was read; `encrypted`: the listener has TLS; `spoken`: its handshake is done.
        """
        answer = self.answer
        no_request = isinstance(answer, Reject) and not requested
        no_pdus_yet = isinstance(answer, Abort) and encrypted and not spoken
        no_alert_of_ours = isinstance(answer, Alert) and answer.description is not None and (spoken or not encrypted)
        if no_request or no_pdus_yet or no_alert_of_ours:
            self.answer = Close()


class UpstreamRefused(Refused):
    """The upstream's own A-ASSOCIATE-RJ or A-ABORT, to be passed on as it came."""

    def __init__(self, pdu: bytes) -> None:
        rejected = pdu[0] == PduType.A_ASSOCIATE_RJ
        self.pdu = pdu
        self.triple = (pdu[7], pdu[8], pdu[9])
        reason = Reason.UPSTREAM_REJECTED if rejected else Reason.UPSTREAM_ABORTED
        name = "A-ASSOCIATE-RJ" if rejected else "A-ABORT"
        codes = "/".join(str(code) for code in (self.triple if rejected else self.triple[1:]))
        answer = Reject(*self.triple) if rejected else Abort(*self.triple[1:])
        super().__init__(reason, f"the upstream answered {name} {codes}", answer)


def say(leg: Leg, refused: Refused) -> None:
    """Send the answer of a refusal. An alert of OpenSSL's own was sent when the handshake failed."""
    answer = refused.answer
    if isinstance(refused, UpstreamRefused):
        leg.send(refused.pdu)
    elif isinstance(answer, Reject):
        leg.send(encode_associate_rj(answer.result, answer.source, answer.reason))
    elif isinstance(answer, Abort):
        leg.send(encode_abort(answer.source or 0, answer.reason))
    elif isinstance(answer, Alert) and answer.description is not None:
        leg.send_raw(encode_alert(answer.description))
