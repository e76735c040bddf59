"""What the documents say of the code is so: layers, stages, invariants, paths, tests, citations."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from proxy.config.values import Timeouts
from proxy.net.association import Association
from proxy.policy import Reason
from tests.documents.citations import cited_invariants, cited_rows, sources
from tests.documents.files import ROOT, read
from tests.documents.generated import PAGES
from tests.documents.rows import numbered_tests, rows
from tests.documents.stages import ANY, stages_of
from tests.unit.test_layers import LAYERS

ARCHITECTURE = read("docs/architecture.md")
DOCUMENTS = [
    "CONTRIBUTING.md",
    "README.md",
    "CHANGELOG.md",
    "deploy/README.md",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))),
]
HEADINGS = {int(number) for number in re.findall(r"^### (\d+)\. ", ARCHITECTURE, re.MULTILINE)}


@pytest.mark.parametrize("name", PAGES)
def test_what_is_made_from_the_code_is_current(name: str) -> None:
    assert read(name) == PAGES[name](), f"run `python -m tests.documents`: {name} is not what the code says"


def section(title: str) -> str:
    """The text of the architecture below a heading of the second level."""
    _, found, rest = ARCHITECTURE.partition(f"\n## {title}\n")
    assert found, title
    return rest.partition("\n## ")[0]


def column(table: str, number: int) -> list[str]:
    """The words in backticks in one column of a table."""
    rows_of_table = [line.split("|") for line in table.splitlines() if line.startswith("| ")][1:]
    return [word for cells in rows_of_table for word in re.findall(r"`([^`]+)`", cells[number])]


def test_the_layers_are_those_that_are_enforced() -> None:
    drawn = re.findall(r"^    (\w+) ", section("Layers"), re.MULTILINE)
    assert drawn == list(reversed(LAYERS))


def test_every_reason_has_its_stage() -> None:
    named = column(section("The life of an association"), 4)
    assert {*named, Reason.INTERNAL} == set(Reason)
    assert [reason for reason in Reason if stages_of(reason) == [ANY]] == [Reason.INTERNAL]
    assert stages_of(Reason.TLS_ON_PLAIN) == ["Request"]
    assert stages_of(Reason.UPSTREAM_TIMEOUT) == ["Ask"]


def test_the_stages_are_those_of_the_code() -> None:
    named = re.search(r"`Association\._walk`.*?: (.*?)\.\n", section("The life of an association"), re.DOTALL)
    assert named
    walked = re.findall(r"self\.(_\w+)\(", inspect.getsource(Association._walk))
    assert re.findall(r"`(\w+)`", named[1]) == walked


def test_the_deadlines_are_timeouts() -> None:
    named = column(section("The life of an association"), 3)
    assert {name.removeprefix("timeouts.") for name in named} <= set(Timeouts.__slots__)


def test_there_are_nine_invariants() -> None:
    assert set(range(1, 10)) == HEADINGS


@pytest.mark.parametrize("number", sorted(HEADINGS))
def test_each_invariant_is_held_by_tests(number: int) -> None:
    text = section("Invariants").partition(f"### {number}. ")[2].partition("\n### ")[0]
    held_by = re.findall(r"^- `([^`]+)::(\w+)`$", text, re.MULTILINE)
    assert held_by
    for file, function in held_by:
        names = [getattr(node, "name", "") for node in ast.parse(read(file)).body]
        assert function in names, f"{file} has no {function}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_paths_are_there(name: str) -> None:
    folder = (ROOT / name).parent
    text = read(name)
    for path in re.findall(r"`((?:proxy|tests|docs|examples|deploy)/[\w/.-]+?)(?:::\w+)?`", text):
        assert (ROOT / path).exists(), path
    for link in re.findall(r"\]\(([^):#]+)(?:#[\w-]+)?\)", text):
        assert (folder / link).exists(), link


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_within_documents_lead_to_headings(name: str) -> None:
    for link, anchor in re.findall(r"\]\(([^):#]*)#([\w-]+)\)", read(name)):
        target = (ROOT / name).parent / link if link else ROOT / name
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}, anchor


def test_citations_lead_somewhere() -> None:
    known = rows()
    for path in sources():
        text = path.read_text()
        assert cited_invariants(text) <= HEADINGS, path
        assert cited_rows(text) <= known.keys(), path


def test_code_that_cites_an_invariant_names_its_document() -> None:
    cites = {path: path.read_text() for path in (ROOT / "proxy").rglob("*.py")}
    assert not [path for path, text in cites.items() if cited_invariants(text) and "docs/architecture.md" not in text]


def test_rows_name_the_files_of_their_tests() -> None:
    known, numbered = rows(), numbered_tests()
    for number, row in known.items():
        missing = [file for file in row.files if not (ROOT / "tests" / file).exists()]
        assert not missing, f"docs/robustness.md, row {number}: {missing}"
        assert numbered.get(number, set()) <= set(row.files), f"docs/robustness.md, row {number}: a test is missing"
    assert numbered.keys() <= known.keys()


def test_nothing_cites_documents_that_are_not_here() -> None:
    absent = re.compile(r"design (?:section|invariant)|design\.md|bad-inputs\.md")
    here = Path(__file__)
    assert not [str(path) for path in sources() if path != here and absent.search(path.read_text())]
