"""Loading any file as a configuration ends in findings, never in an exception."""
# ruff: noqa: E501

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.config.hosts import local_address, network, remote_address, server_name
from proxy.config.load import load
from proxy.config.scalars import duration, integer, moment, size
from tests.support.configs import PLAIN

QUIET = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LINES = PLAIN.splitlines()
FRAGMENTS = st.sampled_from(
    [*LINES, "a: &x", "*x", "!!int 1", "---", "- - -", "? x", "{", "}", "[", "]", "<<: x", "${A", "${A:-b}", "'", '"', "|", ">",
     "%YAML 1.2", "tls: {certificates: [{dir: .}]}", "include: [x]", "tenant_defaults: {tls: {client_auth: x}}", "~", "null",
     "    tls: ~", "  - {aet: [[A]]}", "identity_providers: {a: {type: [x]}}", "identity_providers: {a: {type: {b: c}}}"]
)  # fmt: skip


def check(folder: Path, data: bytes) -> None:
    path = folder / "config.yaml"
    path.write_bytes(data)
    loaded = load(path, environ={"A": "[1"})
    assert (loaded.config is None) == any(finding.severity == "error" for finding in loaded.findings)
    assert all(str(finding).isprintable() for finding in loaded.findings)


@QUIET
@given(data=st.binary(max_size=400))
def test_bytes(tmp_path: Path, data: bytes) -> None:
    check(tmp_path, data)


@QUIET
@example("\U00018cd6:")
@given(text=st.text(max_size=400))
def test_text(tmp_path: Path, text: str) -> None:
    check(tmp_path, text.encode("utf-8", "replace"))


@QUIET
@given(lines=st.lists(FRAGMENTS, max_size=20))
def test_lines_that_look_like_a_configuration(tmp_path: Path, lines: list[str]) -> None:
    check(tmp_path, "\n".join(lines).encode())


@QUIET
@given(data=st.data())
def test_a_good_configuration_with_one_line_changed(tmp_path: Path, data: st.DataObject) -> None:
    lines = list(LINES)
    position = data.draw(st.integers(0, len(lines) - 1))
    key, colon, value = lines[position].partition(":")
    change = st.sampled_from(
        ["", " x", " [x]", " [[x]]", " {a: b}", " null", " {}", " - x", " 'x", " 2026-01-01", " {a: {b: [c]}}"]
    )
    lines[position] = key + colon + data.draw(change)
    assert value is not None
    check(tmp_path, "\n".join(lines).encode())


@pytest.mark.parametrize(
    "read",
    [
        duration(0.001, never=True),
        size(1, 10),
        integer(1, 10),
        local_address,
        moment,
        network,
        remote_address,
        server_name,
    ],
)
@given(text=st.text(alphabet=st.one_of(st.sampled_from("0123456789.:/[]-*TZ+%kKiMB"), st.characters()), max_size=40))
def test_a_value_is_read_or_refused(read: Callable[[object], object], text: str) -> None:
    with contextlib.suppress(ValueError):
        read(text)


def test_deep_and_wide_bombs_end_quickly(tmp_path: Path) -> None:
    check(tmp_path, b"a: " + b"[" * 1_000_000)
    check(tmp_path, b"a: " + b"{a: " * 1_000_000)
    check(tmp_path, b"- " * 1_000_000)
    check(tmp_path, b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n" * 100)
