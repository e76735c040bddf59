import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.observe.access import AccessRecord
from proxy.observe.lines import console_line, json_line
from proxy.observe.log import LogSink
from proxy.policy import Ended, Reason, VerifiedCertificate

#: Characters that a terminal shows as they are.
PRINTABLE = set(string.ascii_letters + string.digits + string.punctuation + " ")
CANARY = "hunter2-passcode"

hostile = st.one_of(
    st.text(),
    st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"])),
    st.sampled_from(["\n", "\r\n", "\x1b[2J", "\x9b31m", "\u202e", "\u2028", '" a="b', "%n%s", "{0}", "\x7f", "\x00"]),
).map(lambda text: text + CANARY + text)


def record(text: str) -> AccessRecord:
    """Return a record in which everything that a peer chooses is `text`."""
    record = AccessRecord("a1", 0.0, "dicom-tls", reason=Reason.CALLING_AET_UNKNOWN)
    record.detail = record.sni = record.calling_aet = record.called_aet = text
    record.implementation_class_uid = record.implementation_version_name = record.user_name = text
    record.certificate = VerifiedCertificate("ab" * 32, "", text, (text,), (text,), (text,))
    return record


@given(hostile)
def test_text_of_a_peer_stays_on_one_line_of_printable_ascii(text: str) -> None:
    access = record(text).to_dict(0.0)
    event = {"ts": "t", "level": "info", "event": "e", "text": text, "nested": {"list": [text]}}
    for fields in (access, event):
        for line in (json_line(fields), console_line(fields)):
            assert set(line) <= PRINTABLE
            assert CANARY in line  # the text did reach the line
        assert json_line(json.loads(json_line(fields))) == json_line(fields)  # nothing is lost


@given(hostile)
def test_no_text_becomes_another_field_in_the_console(text: str) -> None:
    line = console_line({"ts": "t", "level": "info", "event": "e", "a": text, "b": 1})
    value, separator, rest = line.partition(" a=")[2].rpartition(" b=")
    assert (separator, rest) == (" b=", "1")
    assert value == text or json.dumps(text) == value


def test_the_json_line() -> None:
    assert (
        json_line({"ts": "t", "n": 1.5, "ok": True, "a": "\u00e9\n"}) == '{"ts":"t","n":1.5,"ok":true,"a":"\\u00e9\\n"}'
    )


def test_the_console_line() -> None:
    assert (
        console_line({"ts": "T", "level": "warning", "event": "certificate_expires", "days": 7, "file": "a b.pem"})
        == 'T WARNING certificate_expires days=7 file="a b.pem"'
    )


def test_an_access_record_on_the_console_is_short() -> None:
    access = AccessRecord("a1", 0.0, "dicom-tls", calling_aet="CT1", client_ip="10.0.0.7", client_port=4).to_dict(0.0)
    assert console_line(access) == (
        "1970-01-01T00:00:00.000Z INFO    association failed refused listener=dicom-tls client=10.0.0.7:4 "
        "calling_aet=CT1 bytes_in=0 bytes_out=0 duration_s=0.0 id=a1"
    )


@pytest.mark.parametrize(
    ("decision", "ended", "words"),
    [
        ("refused", Ended.REFUSED, "refused"),
        ("failed", Ended.REFUSED, "failed refused"),
        ("accepted", Ended.RELEASED, "accepted released"),
    ],
)
def test_the_console_line_of_an_association_repeats_no_word(decision: str, ended: Ended, words: str) -> None:
    access = AccessRecord("a1", 0.0, "dicom-tls", decision=decision, ended=ended).to_dict(0.0)
    assert f" association {words} listener=dicom-tls " in console_line(access)


def test_a_value_without_a_json_form_does_not_raise() -> None:
    odd = {"inf": float("inf"), "bytes": b"\xff", "set": {1}, ("k",): 1, "text": "ok"}
    read = json.loads(json_line(odd))
    assert read["text"] == "ok"
    assert read["inf"] == "inf"
    assert json.loads(json_line({"bytes": b"\xff"})) == {"bytes": "b'\\xff'"}


def test_levels_are_ordered() -> None:
    with open("/dev/null", "wb") as sink:
        log = LogSink(sink, level="warning")
        assert [log.enabled(level) for level in ("debug", "info", "warning", "error")] == [False, False, True, True]
        log.close()
