"""The figures of tests/figures, each on code that is small enough to count by hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.figures import duplicates, imports, prose, shape, sources
from tests.figures.sources import Source
from tests.figures.trips import Event, summarise

_SAME = "if True:\n" + "\n".join(f"    value_{number} = {number}" for number in range(duplicates.LEAST - 1))


def test_lines_comments_and_docstrings() -> None:
    code = '"""It is short."""\n# why\nx: int = 1  # type: ignore[assignment]\n\ndef f(self, a, *b, c):\n    return a\n'
    found = shape.measure([Source("net/a.py", code)])
    assert (found.files, found.lines, found.functions) == (1, 6, 1)
    assert (found.comment_share, found.docstring_share) == (33.3, 16.7)
    assert (found.type_ignores, found.noqas, found.modules_without_docstring) == (1, 0, [])
    assert shape.parameters(Source("a.py", code).functions[0]) == 3


def test_a_class_name_in_two_files_is_named_with_both() -> None:
    found = shape.measure([Source("net/a.py", "class One: ...\nclass Two: ..."), Source("pdu/b.py", "class One: ...")])
    assert found.repeated_class_names == ["One: net/a.py, pdu/b.py"]


def test_an_elif_is_no_deeper_than_its_if() -> None:
    flat = "def f():\n    if a:\n        pass\n    elif b:\n        pass\n    elif c:\n        pass\n"
    deep = "def f():\n    if a:\n        for b in c:\n            while d:\n                pass\n"
    assert [shape.nesting(Source("a.py", code).functions[0]) for code in (flat, deep)] == [1, 3]


def test_imports_in_functions_and_for_types_make_a_circle() -> None:
    found = imports.measure(
        [
            Source("net/a.py", "from proxy.net.b import x\nfrom proxy.pdu import y"),
            Source("net/b.py", "if TYPE_CHECKING:\n    from proxy.net import c"),
            Source("net/c.py", "def f():\n    import proxy.net.a"),
            Source("net/d.py", "from proxy.net import a, b, c"),
            Source("pdu/__init__.py", ""),
        ]
    )
    assert found.circles == [["net/a.py", "net/b.py", "net/c.py"]]
    assert (found.folders, found.arrows_between_folders) == (2, 1)
    assert (found.net_files, found.net_arrows, found.net_upward, found.net_floors) == (4, 6, 1, 0)


def test_floors_of_a_folder_without_circles() -> None:
    found = imports.measure([Source("net/a.py", "import proxy.net.b"), Source("net/b.py", "")])
    assert (found.circles, found.net_upward, found.net_floors) == ([], 0, 2)


def test_equal_lines_in_two_files_are_a_duplicate() -> None:
    other = "while x:\n" + "\n\n".join(f"    {line}" for line in _SAME.splitlines())
    found = duplicates.find([Source("a.py", f"# first\n{_SAME}\nx = 1"), Source("b.py", other)])
    assert list(map(str, found)) == [f"a.py:2 = b.py:2 ({duplicates.LEAST} lines)"]


def test_tables_and_imports_are_no_duplicates() -> None:
    texts = "x = [\n" + "    f('text'),\n    b,\n" * 20 + "]\nfrom a import (\n" + "    b,\n" * 20 + ")\n"
    assert duplicates.find([Source("a.py", texts), Source("b.py", texts)]) == []


def test_words_and_beginnings_of_docstrings() -> None:
    code = '"""It is told."""\ndef f():\n    """Whether nobody is behind it."""  # behind, anew\n'
    found = prose.measure([Source("a.py", code)])
    assert (found.docstrings, found.clauses, found.pronouns) == (2, 1, 1)
    assert (found.words["behind"], found.words["nobody"], found.words["told"], found.words["says"]) == (2, 1, 1, 0)


def test_rooms_stays_returns_and_climbs_of_a_trip() -> None:
    rooms = ("net/a.py", "net/a.py", "pdu/b.py", "net/a.py", "net/c.py")
    events = [Event(0.0, "1", "call", f"{room} f") for room in rooms]
    found = summarise([*events, Event(0.0, "1", "return", "net/c.py f")], ("pdu", "net"))
    assert (found.calls, found.rooms, found.folders, found.stays) == (5, 3, 2, 4)
    assert (found.returns, found.climbs) == (1, 1)


@pytest.mark.parametrize("form", ["markdown", "json"])
def test_the_command_measures_checkouts(form: str, tmp_path: Path) -> None:
    for name in ("before", "after"):
        (tmp_path / name / "proxy" / "net").mkdir(parents=True)
        (tmp_path / name / "proxy" / "net" / "a.py").write_text('"""One file."""\n')
    options = ("--no-trips", "--format", form, tmp_path / "before", tmp_path / "after")
    command = [sys.executable, "-m", "tests.figures", *options]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    if form == "json":
        assert [found["shape"]["lines"] for found in json.loads(run.stdout).values()] == [1, 1]
    else:
        assert "| files / lines | 1 / 1 | 1 / 1 |" in run.stdout


def test_the_layers_are_read_from_their_own_test() -> None:
    assert {"pdu", "net", "cli"} <= set(sources.layers(Path(__file__).parents[2]))
