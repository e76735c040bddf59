"""YAML as text: errors with their positions, and scalars that stay as written."""

from pathlib import Path

import pytest

from proxy.config.expand import expand
from proxy.config.load import load
from proxy.config.tree import Block, Items, Mark, Node, Text, parse
from tests.support.configs import PLAIN, findings, load_text, write


def parsed(data: bytes) -> tuple[Block | None, list[str]]:
    told = list[str]()

    def tell(code: str, mark: Mark, message: str) -> None:
        told.append(f"{code} {mark}: {message}")

    return parse(data, "config.yaml", tell), told


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "E106 config.yaml:1:1: the file is empty"),
        ("# nothing\n", "E106 config.yaml:1:1: the file is empty"),
        ("~\n", "E106 config.yaml:1:1: the file is empty"),
        ("- a\n", "E110 config.yaml:1:1: must be a mapping"),
        ("text", "E110 config.yaml:1:1: must be a mapping"),
        ("a: &x 1", "E104 config.yaml:1:4: YAML anchors are not supported: write the value out"),
        ("a: 1\nb: *x", "E104 config.yaml:2:4: YAML aliases are not supported: write the value out"),
        ("a: !!int 1", "E104 config.yaml:1:4: YAML tags are not supported: the key determines how its value is read"),
        ("a: ! 1", "E104 config.yaml:1:4: YAML tags are not supported: the key determines how its value is read"),
        ("%YAML 1.1\n---\na: 1", "E104 config.yaml:1:1: YAML directives are not supported: remove the line"),
        ("a: 1\n---\nb: 2", "E104 config.yaml:2:1: a second document: a file contains only one"),
        ("a: 1\nb: 2\na: 3", "E105 config.yaml:3:1: 'a' is set twice, first in line 1"),
        ("a: {b: 1, b: 2}", "E105 config.yaml:1:11: 'b' is set twice, first in line 1"),
        ("a: []", "E106 config.yaml:1:4: the list is empty: leave it out, or write `any` where it is allowed"),
        ("a:\n  b: {}", "E106 config.yaml:2:6: the mapping is empty: leave it out, or write `any` where it is allowed"),
        ("? [a]\n: b", "E110 config.yaml:1:3: a key must be a text of at most 256 characters"),
        ("a: \x07", "E102 config.yaml:1:4: character U+0007 is not allowed in a configuration file"),
        ("a: 1\nb: x\0y", "E102 config.yaml:2:5: character U+0000 is not allowed in a configuration file"),
        ("a: " + "[" * 40 + "]" * 40, "E107 config.yaml:1:35: nested more than 32 levels deep"),
    ],
)  # fmt: skip
def test_each_error_has_its_position(text: str, expected: str) -> None:
    assert parsed(text.encode())[1][0] == expected


@pytest.mark.parametrize("text", ["a: [1", "a: 'x", "a:\n\t- b", "a: b: c", "}", "a: {b: 1", 'a: "\\q"', "@", "a: `x`"])
def test_broken_yaml_is_one_error_with_a_position(text: str) -> None:
    root, told = parsed(text.encode())
    assert root is None
    assert len(told) == 1
    assert told[0].startswith("E103 config.yaml:")
    assert "not valid YAML" in told[0]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028"])
def test_a_tab_is_called_a_tab(end: str) -> None:
    words = "not valid YAML: a tab: indent with spaces only"
    assert parsed(f"# é{end}a:{end}\tb: 1{end}".encode())[1] == [f"E103 config.yaml:3:1: {words}"]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('a:\n  - {b: "x}\n  - {c: "y"}\n', "3:10", "check quotes, brackets and indentation from line 2 on"),
        ("a:\n  b: [1\nc: 2\n", "3:2", "check quotes, brackets and indentation from line 2 on"),
        ("a:\n   b: 1\n  c: 2\n", "3:3", "check quotes, brackets and indentation from line 1 on"),
        ("a: 1\n b: 2\n", "2:3", "check quotes, brackets and indentation"),
        ("a: {b: room: 1}\n", "1:12", "put quotes around a text that contains `: `"),
        ("a: room: 1\n", "1:8", "put quotes around a text that contains `: `"),
    ],
)
def test_a_syntax_error_says_where_to_look(text: str, place: str, words: str) -> None:
    (told,) = parsed(text.encode())[1]
    assert told.startswith(f"E103 config.yaml:{place}: not valid YAML: ")
    assert told.endswith(f"; {words}")


def test_other_encodings_are_refused() -> None:
    assert parsed(b"a: 1\nb: \xff\xfe")[1] == ["E102 config.yaml:2:1: not UTF-8 text: save it as UTF-8"]
    assert parsed("a: 1".encode("utf-16"))[1] == ["E102 config.yaml:1:1: not UTF-8 text: save it as UTF-8"]


def test_a_byte_order_mark_is_not_part_of_the_first_key() -> None:
    root, told = parsed("\ufeffa: 1".encode())
    assert (root, told) == ({"a": "1"}, [])


def plain(node: Node) -> object:
    if isinstance(node, Block):
        return {key: plain(value) for key, value in node.items()}
    return [plain(item) for item in node] if isinstance(node, Items) else str(node)


@pytest.mark.parametrize(
    "written",
    [
        "0123",
        "ON",
        "off",
        "yes",
        "22:30",
        "1e3",
        "0x10",
        "1_000",
        "2026-10-31",
        "=",
        "<<",
        ".inf",
        "NaN",
        "null",
        "True",
    ],
)
def test_every_scalar_stays_what_was_written(written: str) -> None:
    root, told = parsed(f"a: {written}\nb: [{written}]\n{written}: x".encode())
    assert told == []
    assert root is not None
    assert plain(root) == {"a": written, "b": [written], written: "x"}


def test_only_plain_scalars_are_null() -> None:
    root, _ = parsed(b"a: null\nb: ~\nc:\nd: 'null'\ne: \"\"\nf: Null")
    assert root is not None
    assert {key: node.is_null for key, node in root.items() if isinstance(node, Text)} == {
        "a": True, "b": True, "c": False, "d": False, "e": False, "f": False
    }  # fmt: skip


def test_a_file_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    assert [str(finding) for finding in load(missing, environ={}).findings] == [
        f"{missing} cannot be read: no such file or directory"
    ]
    assert [str(finding) for finding in load(tmp_path, environ={}).findings] == [f"{tmp_path} is a folder"]
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    assert [str(finding) for finding in load(loop, environ={}).findings] == [
        f"{loop} cannot be read: too many levels of symbolic links"
    ]


def test_a_huge_file_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    assert [str(finding) for finding in load(path, environ={}).findings] == [f"{path} is larger than 4 MiB"]


def expanded(written: str, environ: dict[str, str]) -> tuple[str, list[str]]:
    told = list[str]()
    root, _ = parsed(f"a: {written}".encode())
    assert root is not None
    node = expand(root, environ, lambda code, mark, message: told.append(f"{code} {mark}: {message}"))
    assert isinstance(node, Block)
    return str(node["a"]), told


@pytest.mark.parametrize(
    ("written", "result"),
    [
        ("${A}", "one"),
        ("x-${A}-${A}", "x-one-one"),
        ("${B:-two}", "two"),
        ("${A:-two}", "one"),
        ("${EMPTY:-two}", "two"),
        ("${EMPTY}", ""),
        ("${B:-}", ""),
        ("$${A}", "${A}"),
        ("$A $ $$", "$A $ $$"),
        ("'${NESTED}'", "${A}"),
    ],
)
def test_environment_variables_expand_inside_strings(written: str, result: str) -> None:
    assert expanded(written, {"A": "one", "EMPTY": "", "NESTED": "${A}"}) == (result, [])


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("${A}", "environment variable A is not set; ${A:-...} gives it a default"),
        ("${A", "'${A': write ${NAME} or ${NAME:-default}, and $${ for a literal ${"),
        ("${1A}", "'${1A}': write ${NAME} or ${NAME:-default}, and $${ for a literal ${"),
        ("${}", "'${}': write ${NAME} or ${NAME:-default}, and $${ for a literal ${"),
    ],
)
def test_what_cannot_be_expanded_is_an_error(written: str, message: str) -> None:
    assert expanded(f"'{written}'", {})[1] == [f"E109 config.yaml:1:4: {message}"]


def test_an_expanded_text_is_never_null_and_never_structure(tmp_path: Path) -> None:
    text = PLAIN + "admin: {listen: '${LISTEN}'}\ncontrol: ${CONTROL}\n"
    environ = {"LISTEN": "null}\nworkers: [1", "CONTROL": "null"}
    assert findings(tmp_path, text, environ) == [
        "E110 config.yaml:15:17: admin.listen: 'null}\\nworkers: [1': write an address and a port, "
        "like 0.0.0.0:2762 or [::]:2762"
    ]
    loaded = load_text(tmp_path, PLAIN + "control: ${CONTROL}\n", environ)
    assert loaded.config is not None
    assert (loaded.config.control or "").endswith("null"), "a file of that name"


def test_a_million_mistakes_are_not_reported_one_by_one(tmp_path: Path) -> None:
    path = write(tmp_path, "".join(f"k{number}: []\n" for number in range(20_000)))
    assert len(load(path, environ={}).findings) == 500
