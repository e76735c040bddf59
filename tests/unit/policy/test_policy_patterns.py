import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.patterns import TitleMatcher, matches_dns, matches_uri


def find(title: str, *entries: tuple[str, ...], fold: bool = False) -> tuple[tuple[int, ...], bool]:
    return TitleMatcher.build(entries, fold=fold).find(title)


@pytest.mark.parametrize(
    ("pattern", "title", "matches"),
    [
        ("*", "CT1", True),
        ("CT*", "CT", True),
        ("CT*", "CT1", True),
        ("CT*", "ct1", False),
        ("CT*", "XCT1", False),
        ("*CT", "ACT", True),
        ("*CT", "CT1", False),
        ("CT?", "CT1", True),
        ("CT?", "CT", False),
        ("CT?", "CT12", False),
        ("A*B*C", "AxxBxxBC", True),
        ("A*B*C", "AxxCxxB", False),
        ("A**C", "AC", True),
        ("A*?C", "AC", False),
        ("A.C*", "ABC", False),  # a dot is a dot
        ("[AB]*", "A1", False),
        ("$(x)*", "$(x)1", True),
        ("{0}*", "{0}", True),
    ],
)
def test_a_pattern_covers_the_whole_title(pattern: str, title: str, matches: bool) -> None:
    assert find(title, (pattern,)) == ((0,) if matches else (), False)


@given(st.text("AB*?", max_size=10), st.text("AB", max_size=12))
def test_patterns_agree_with_an_independent_matcher(pattern: str, title: str) -> None:
    assert bool(find(title, ("*" + pattern,))[0]) == fnmatch.fnmatchcase(title, "*" + pattern)


@pytest.mark.parametrize("fold", [False, True])
def test_a_literal_title_is_never_matched_by_a_pattern(fold: bool) -> None:
    assert find("CT1", ("*",), ("CT?",), ("CT1", "C*"), ("CT1",), fold=fold) == ((2, 3), True)
    assert find("CT2", ("*",), ("CT?",), ("CT1", "C*"), ("CT1",), fold=fold) == ((0, 1, 2), False)


def test_folding_holds_on_both_sides() -> None:
    assert find("ct1", ("*",), ("Ct1",), fold=True) == ((1,), True)
    assert find("wS1", ("Ws*",), fold=True) == ((0,), False)
    assert find("ct1", ("*",), ("CT1",)) == ((0,), False)  # without it they are different titles


def test_an_entry_is_found_once() -> None:
    assert find("CT1", ("C*", "CT*", "*"), fold=True) == ((0,), False)
    assert find("CT1", ("CT1", "ct1"), fold=True) == ((0,), True)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("ct1.example.org", "ct1.example.org", True),
        ("*.example.org", "ct1.example.org", True),
        ("*.example.org", "a.b.example.org", False),
        ("*.example.org", "example.org", False),
        ("*.example.org", ".example.org", False),
        ("*.example.org", "evil\0.example.org", False),
        ("*.example.org", "*.example.org", True),  # exactly what is written
        ("*.*.org", "*.example.org", False),
        ("ct1.example.org", "*.example.org", False),  # a wildcard in a certificate stands for nobody
        ("ct1.example.org", "ct1xexample.org", False),
        ("ct1.example.org", "ct1.example.org\0.evil.com", False),
        ("ct1.example.org", "ct1.example.org\n", False),
    ],
)
def test_a_star_in_a_host_name_is_one_label(pattern: str, name: str, matches: bool) -> None:
    assert matches_dns(pattern, name) is matches


@pytest.mark.parametrize(
    ("pattern", "uri", "matches"),
    [
        ("spiffe://example.org/ct/*", "spiffe://example.org/ct/1", True),
        ("spiffe://example.org/ct/*", "spiffe://example.org/ct/1/admin", False),
        ("spiffe://example.org/*/1", "spiffe://example.org/ct/1", True),
        ("spiffe://*/ct/1", "spiffe://evil.org/x/ct/1", False),
        ("spiffe://example.org/ct?1", "spiffe://example.org/ctx1", False),
        ("spiffe://example.org/ct/*", "spiffe://example.org/ct/1\0", False),
        ("spiffe://example.org/ct/*", "SPIFFE://example.org/ct/1", False),
        ("urn:*:b*d", "urn:a:bcd", True),
    ],
)
def test_a_star_in_a_uri_does_not_cross_a_slash(pattern: str, uri: str, matches: bool) -> None:
    assert matches_uri(pattern, uri) is matches


def test_no_pattern_takes_exponential_time() -> None:
    before = time.process_time()
    assert find("A" * 16, ("*A" * 7 + "*B",)) == ((), False)
    assert not matches_uri("*a" * 30 + "*b", "a" * 5000)
    assert time.process_time() - before < 1.0
