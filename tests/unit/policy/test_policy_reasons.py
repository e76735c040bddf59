"""The table of reasons."""

from proxy.policy import Alert, Reason, Reject, Stage, reasons_of


def test_every_reason_has_a_stage_and_an_answer() -> None:
    assert reasons_of(*Stage) == tuple(Reason)
    assert all(reason.answer is not None for reason in Reason)


def test_a_rejection_comes_once_the_request_is_complete_and_an_alert_before_it() -> None:
    later = {Stage.DECISION, Stage.UPSTREAM, Stage.ANY}
    assert {reason.stage for reason in Reason if isinstance(reason.answer, Reject)} == later
    assert {reason.stage for reason in Reason if isinstance(reason.answer, Alert)} == {Stage.FIRST_BYTES, Stage.TLS}
