"""Orthanc's dialect of JSON: comments, trailing commas, variables, folders, errors."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.orthanc.text import OrthancError, OrthancText, read_text


def read(text: str | bytes, **environ: str) -> OrthancText:
    data = text if isinstance(text, bytes) else text.encode()
    return read_text({"orthanc.json": data}, environ)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1} // the end', {"a": 1}),
        ('// first\n{"a": /* b */ 1, /* c\n d */ "e": 2}', {"a": 1, "e": 2}),
        ('{"Url": "http://a/b"}', {"Url": "http://a/b"}),
        (r'{"a": "quote \" // not a comment", "b": "\\"} // one', {"a": 'quote " // not a comment', "b": "\\"}),
        ('{"a": "/* none */", "b": "//"}', {"a": "/* none */", "b": "//"}),
        ('{/* "a": 1, // 2 */ "b": 3}', {"b": 3}),
        ('{// "a": 1, /*\n "b": 3}', {"b": 3}),
        ('{/**/"b": 3/***/}', {"b": 3}),
        ('{"a": [1, 2,], "b": {"c": 3, /* d */ }, // e\n}', {"a": [1, 2], "b": {"c": 3}}),
        ('{"a": ",]", "b": ",}"}', {"a": ",]", "b": ",}"}),
        ('\ufeff{"a": 1}', {"a": 1}),
        ('{"a": "tab\there"}', {"a": "tab\there"}),
        (b'{"a": 1} // caf\xe9', {"a": 1}),
    ],
)
def test_what_orthanc_reads_is_read(text: str | bytes, expected: dict[str, Any]) -> None:
    assert read(text).values == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON: line 1, column 1"),
        ("{", "not JSON: line 1"),
        ('{\n  "a": 1\n  "b": 2\n}', "not JSON: line 3, column 3"),
        ('{\n  /* a\n b */ "c" 1}', "not JSON: line 3, column 11"),
        ('{"a": 1} /* open', "not JSON: line 1, column 10"),
        ('{"a": 1,,}', "not JSON"),
        ('{"a": "open}', "not JSON"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("{'a': 1}", "not JSON"),
        ("[1]", "expected an object {...}"),
        ('"text"', "expected an object {...}"),
        ("null", "expected an object {...}"),
        ("[" * 100_000, "nested too deeply"),
        (f'{{"a": {"9" * 5000}}}', "orthanc.json: "),
        (b"\x00\xff\xfe{", "not JSON"),
    ],
)
def test_other_text_is_refused_with_its_place(text: str | bytes, words: str) -> None:
    with pytest.raises(OrthancError) as caught:
        read(text)
    assert words in str(caught.value)
    assert str(caught.value).startswith("orthanc.json: ")


@given(st.text(alphabet='{}[]",:/*\\ \n\t1a${}-', max_size=60) | st.binary(max_size=40))
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    with contextlib.suppress(OrthancError):
        assert isinstance(read(text).values, dict)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8).map(lambda text: text.replace("${", "")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/*,", max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text('ab/*"\\,]}', max_size=5), json_values, max_size=4), st.sampled_from([None, 1]))
def test_json_is_read_as_json(value: dict[str, Any], indent: int | None) -> None:
    assert read(json.dumps(value, indent=indent)).values == value


@pytest.mark.parametrize(
    ("text", "expected", "unset"),
    [
        ('{"a": "${AET}"}', {"a": "CT1"}, ()),
        ('{"a": ${PORT}}', {"a": 104}, ()),
        ('{"a": "${NONE:-x y}"}', {"a": "x y"}, ()),
        ('{"a": "${NONE:-}"}', {"a": ""}, ()),
        ('{"a": "${NONE:-\'q:}r\'}"}', {"a": "q:}r"}, ()),
        ('{"a": "${AET:-other}"}', {"a": "CT1"}, ()),
        ('{"a": "${NONE}b"}', {"a": "b"}, ("NONE",)),
        ('{"a": "${EMPTY:-x}"}', {"a": ""}, ()),
        ('{"a": 1} // ${COMMENT}', {"a": 1}, ("COMMENT",)),
        ('{"a": "$AET $ {AET}"}', {"a": "$AET $ {AET}"}, ()),
    ],
)
def test_variables_are_replaced_before_parsing(text: str, expected: dict[str, Any], unset: tuple[str, ...]) -> None:
    found = read(text, AET="CT1", PORT="104", EMPTY="")
    assert (found.values, found.unset) == (expected, unset)


def test_the_last_of_two_equal_keys_counts() -> None:
    found = read('{"a": {"b": 1, "b": 2}, "c": 1, "c": 3}')
    assert found.values == {"a": {"b": 2}, "c": 3}
    assert found.repeated == ("b", "c")


def test_files_of_a_folder_are_merged() -> None:
    assert read_text({"1.json": b'{"a": 1}', "2.json": b'{"b": 2}'}, {}).values == {"a": 1, "b": 2}


def test_a_key_of_two_files_and_every_bad_file_are_reported() -> None:
    with pytest.raises(OrthancError) as caught:
        read_text({"1.json": b'{"a": 1}', "2.json": b'{"a": 2}', "3.json": b"{", "4.json": b"[]"}, {})
    problems = caught.value.problems
    assert len(problems) == 3
    assert problems[0] == "2.json: 'a' is in 1.json already; Orthanc refuses to start with it"
    assert problems[1].startswith("3.json: not JSON")
    assert problems[2].startswith("4.json: not an Orthanc configuration")
