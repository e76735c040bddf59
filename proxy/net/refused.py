"""A stage's way to say no."""

from proxy.policy import ANSWERS, Answer, Ended, Reason


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
        self.answer = answer if answer is not None or reason is None else ANSWERS[reason]
