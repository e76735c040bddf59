import pytest

from proxy.observe.answers import describe_answer
from proxy.policy import Abort, Alert, Answer, Close, PassOn, Reason, Reject, Status


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Reject(1, 1, 1), "A-ASSOCIATE-RJ 1/1/1 (no reason given)"),
        (Reject(1, 1, 2), "A-ASSOCIATE-RJ 1/1/2 (application context name not supported)"),
        (Reject(1, 1, 3), "A-ASSOCIATE-RJ 1/1/3 (calling AE title not recognized)"),
        (Reject(1, 1, 7), "A-ASSOCIATE-RJ 1/1/7 (called AE title not recognized)"),
        (Reject(1, 2, 2), "A-ASSOCIATE-RJ 1/2/2 (protocol version not supported)"),
        (Reject(2, 3, 1), "A-ASSOCIATE-RJ 2/3/1 (temporary congestion, transient)"),
        (Reject(2, 3, 2), "A-ASSOCIATE-RJ 2/3/2 (local limit exceeded, transient)"),
        (Reject(9, 9, 9), "A-ASSOCIATE-RJ 9/9/9 (reserved)"),
        (Abort(2, 2), "A-ABORT 2/2 (unexpected PDU)"),
        (Abort(2, 6), "A-ABORT 2/6 (invalid PDU parameter value)"),
        (Abort(0, 0), "A-ABORT 0/0 (by the service user)"),
        (Abort(None, 1), "A-ABORT (unrecognized PDU)"),
        (Abort(2, 250), "A-ABORT 2/250 (reserved)"),
        (Alert(112), "TLS alert 112 (unrecognized_name)"),
        (Alert(250), "TLS alert 250 (unassigned)"),
        (Alert(), "TLS alert"),
        (Status(0x0124), "DIMSE status 0124H (refused: not authorized)"),
        (Status(0xA801), "DIMSE status A801H (refused: move destination unknown)"),
        (Status(0x0110), "DIMSE status 0110H (failure)"),
        (Close(), "connection closed without an answer"),
        (PassOn(), "the upstream's own answer, passed on"),
    ],
)
def test_answers_in_words(answer: Answer, words: str) -> None:
    assert describe_answer(answer) == words


def test_no_answer_of_the_gateway_is_reserved_or_unassigned() -> None:
    for reason in Reason:
        assert not {"reserved", "unassigned", "failure"} & set(describe_answer(reason.answer).strip(")").split("(")), (
            reason
        )
