"""Every reason is explained, and docs/refusals.md says what `dicomgate explain REASON` says."""

import json
from pathlib import Path

import pytest

from proxy.cli.__main__ import main
from proxy.explain.refusals import REFUSALS, markdown
from proxy.policy import Reason

DOCUMENT = Path(__file__).parents[3] / "docs" / "refusals.md"


def test_every_reason_is_explained() -> None:
    assert list(REFUSALS) == list(Reason)
    for refusal in REFUSALS.values():
        assert refusal.meaning.endswith(".")
        assert refusal.remedy.endswith((".", ")"))
        assert "|" not in refusal.meaning + refusal.remedy


def test_only_what_is_not_built_is_never_given() -> None:
    not_given = {reason for reason, refusal in REFUSALS.items() if refusal.remedy == "Not given by this version."}
    assert not_given == {Reason.IDENTITY_REQUIRED, Reason.IDENTITY_REFUSED, Reason.IDENTITY_UNAVAILABLE}


def test_the_document_is_current() -> None:
    assert DOCUMENT.read_text() == markdown(), "write proxy.explain.refusals.markdown() to docs/refusals.md"


def test_a_reason_is_explained_by_its_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "source_not_allowed"]) == 0
    out = capsys.readouterr().out
    assert "  on the wire  A-ASSOCIATE-RJ 1/1/3 (calling AE title not recognized)\n" in out
    assert "observe_until" in out


def test_a_reason_is_explained_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "not_tls", "--format", "json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert list(described) == ["reason", "meaning", "answer", "remedy", "observable"]
    assert described["observable"] is False
