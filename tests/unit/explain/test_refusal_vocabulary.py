"""The manual explains every reason. docs/refusals.md is generated from it (tests/unit/test_documents.py)."""

import json

import pytest

from proxy.cli.__main__ import main
from proxy.explain.advice import advise
from proxy.explain.manual.connection import CONNECTION
from proxy.explain.manual.entry import NOT_GIVEN
from proxy.explain.manual.request import REQUEST
from proxy.explain.manual.tls import TLS
from proxy.explain.manual.upstream import UPSTREAM
from proxy.explain.refusals import MANUAL, describe_reason
from proxy.policy import Reason, Refuse
from tests.support.requests import facts


def test_every_reason_is_explained_once() -> None:
    assert sorted([*CONNECTION, *TLS, *REQUEST, *UPSTREAM]) == sorted(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_every_entry_is_in_sentences_without_markup(reason: Reason) -> None:
    described = describe_reason(reason)
    for text in (described.meaning, described.sender, described.check, described.change):
        assert text.endswith((".", ").")), text
        assert text.isprintable()
        assert "|" not in text


def test_only_reasons_that_are_not_built_yet_are_never_given() -> None:
    not_given = {reason for reason, entry in MANUAL.items() if entry.change == NOT_GIVEN}
    assert not_given == {Reason.IDENTITY_REQUIRED, Reason.IDENTITY_REFUSED, Reason.IDENTITY_UNAVAILABLE}


def test_a_reason_is_explained_by_its_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "source_not_allowed"]) == 0
    out = capsys.readouterr().out
    assert "  on the wire  A-ASSOCIATE-RJ 1/1/3 (calling AE title not recognized)\n" in out
    assert "observe_until" in out


def test_a_reason_is_explained_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "not_tls", "--format", "json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert list(described) == ["reason", "meaning", "answer", "sender", "check", "change", "observable"]
    assert described["observable"] is False


@pytest.mark.parametrize("reason", Reason)
def test_every_advice_can_be_filled_in(reason: Reason) -> None:
    sentence = advise(Refuse(reason, reason.answer, ""), facts())
    assert sentence.endswith((".", ")"))
    assert not {"{", "}"} & set(sentence)
