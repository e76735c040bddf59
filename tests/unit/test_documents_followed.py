"""What the documents say is so: blocks are what their marks say, commands and links exist, lists are complete.

Every file is loaded and every command typed that needs no server (tests/documents/story.py); those that do are typed by
tests/integration/test_documents_run.py.
"""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml

from proxy.cli.__main__ import VERBS, module_of
from proxy.config.unbuilt import UNBUILT
from proxy.observe.families import FAMILIES, PREFIX
from proxy.policy import Reason
from tests.documents import story
from tests.documents.blocks import DOCUMENTS, REPOSITORY, Command, blocks, links, named, prose, read, typed

#: Languages of blocks, and whether a mark must say what becomes of one.
LANGUAGES = {"text": False, "console": False, "json": False, "yaml": True, "haproxy": True, "nginx": True}
RECORD = json.loads((REPOSITORY / "proxy" / "observe" / "access_record.schema.json").read_text())
MAKEFILE = (REPOSITORY / "Makefile").read_text()


def section(document: str, title: str) -> str:
    """The text below a heading of the second level."""
    _, found, rest = read(document).partition(f"\n## {title}\n")
    assert found, title
    return rest.partition("\n## ")[0]


def commands() -> list[list[str]]:
    """Every dicomgate command of the documents, in blocks and in the text."""
    found = []
    for document in DOCUMENTS:
        for text in (*(" ".join(command.words) for command in typed(document)), *named(document)):
            for part in re.split(r" [|&;]+ ", text):
                words = shlex.split(re.sub(r"^runuser .* -- ", "", part))
                if words[:1] == ["dicomgate"] and words[1:]:
                    found.append(words[1:])
    return found


def command_of(verb: str) -> Any:
    module = module_of(verb)
    if hasattr(module, "app"):
        return typer.main.get_command(module.app)
    application = typer.Typer(add_completion=False)
    application.command(verb)(module.command)
    return typer.main.get_command(application)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("", "", True),
        ("", "error\n", False),
        ("one\n", "one\n", True),
        ("one\n", "one\ntwo\n", False),
        ("one\n...\n", "one\n", True),
        ("one\n...\nfour\n", "one\ntwo\nthree\nfour\n", True),
        ("...\nfour\n", "one\nfive\n", False),
        ("by ...\n", "by PYNETDICOM_304\n", True),
        ("by ... now\n", "by PYNETDICOM\n304 now\n", False),
        ("connect  0.3 ms, until 2028-01-01\n", "connect 12.9 ms, until 2030-02-03\n", True),
        ("connect  0.3 ms\n", "connect failed\n", False),
    ],
)
def test_an_output_is_compared_line_by_line(shown: str, printed: str, same: bool) -> None:
    assert Command("README.md:1", "dicomgate", shown).printed(printed) is same


def test_every_command_exists() -> None:
    assert len(commands()) > 50
    for words in commands():
        assert words[0] in VERBS, words
        command = command_of(words[0])
        if hasattr(command, "commands"):
            if words[1:] in ([], ["..."]):
                continue
            command = command.commands[words[1]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, words


def options_of(command: Any) -> set[str]:
    own = {option for parameter in command.params for option in parameter.opts}
    return own.union(*map(options_of, getattr(command, "commands", {}).values()))


def test_every_option_and_key_in_the_text_exists() -> None:
    options = set().union(*(options_of(command_of(verb)) for verb in VERBS))
    config = yaml.safe_load(read("examples/reference.yaml"))
    for document in (document for document in DOCUMENTS if document != "docs/architecture.md"):
        text = prose(document)
        assert set(re.findall(r"`(--[a-z0-9-]+)", text)) <= options, document
        for section in ("timeouts", "limits", "reload", "log", "access_log"):
            assert set(re.findall(rf"`{section}\.(\w+)", text)) <= config[section].keys(), document


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_is_followed(document: str) -> None:
    for block in blocks(document):
        assert block.language in LANGUAGES, f"{block}: a block of {block.language or 'no language'}"
        if LANGUAGES[block.language]:
            assert block.file is not None or block.part_of is not None, f"{block}: nothing says how it is tested"
        if block.language == "text":
            assert not re.search(r"^\$ ", block.text, re.MULTILINE), f"{block}: a command that nobody types"
    typed_by_nobody = re.findall(r"^    ((?:\$|make|dicomgate|systemctl) .*)", prose(document), re.MULTILINE)
    assert not typed_by_nobody, f"{document}: only commands in blocks are tested"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_it_shows_is_what_happens(document: str, tmp_path: Path) -> None:
    reader = story.Story(tmp_path / "story", online=False)
    reader.follow(document)
    assert reader.outputs == {}, "\n".join(f"{place} prints:\n{output}" for place, output in reader.outputs.items())


def test_what_no_test_types_is_known() -> None:
    """Each such command is in a document, and of what it names everything exists."""
    texts = [command.text for document in DOCUMENTS for command in typed(document)]
    for pattern in story.ELSEWHERE:
        assert any(re.fullmatch(pattern, text) for text in texts), f"no document has {pattern}"
    for text in texts:
        if target := re.fullmatch(r"make (\w+).*", text):
            assert re.search(rf"^{target[1]}:", MAKEFILE, re.MULTILINE), text
        if text.startswith(("systemctl", "install", "chown")):
            for file in re.findall(r"\b(?:deploy/)?(dicomgate\.\w+)", text):
                assert (REPOSITORY / "deploy" / file).exists(), text


def test_the_readme_is_for_a_first_visit() -> None:
    assert len(read("README.md").splitlines()) < 150


def test_every_document_is_linked_from_the_readme_or_beside_it() -> None:
    linked = {
        str(((REPOSITORY / document).parent / link.partition("#")[0]).resolve().relative_to(REPOSITORY))
        for document in DOCUMENTS
        for link in links(document)
    }
    assert set(DOCUMENTS) - {"README.md"} <= linked


def test_json_is_json_and_records_are_records() -> None:
    for document in DOCUMENTS:
        for block in blocks(document):
            if block.language == "json":
                value = json.loads(block.text)
                if value.get("event") == "association":
                    jsonschema.validate(value, RECORD)


def test_exactly_the_unbuilt_keys_are_named() -> None:
    unbuilt = {pattern.replace("*.", "") for pattern in UNBUILT}
    rows = section("README.md", "What is not built yet").splitlines()
    cells = [row.split("|")[1] for row in rows if row.startswith("| `")]
    named = {key for cell in cells for key in re.findall(r"`([a-z_.]+)`", cell)}  # each by the end of its path
    for key in unbuilt:
        assert any(key == name or key.endswith(f".{name}") for name in named), f"{key} is not built, and not in README"
    for name in named:
        assert any(key == name or key.endswith(f".{name}") for key in unbuilt), f"{name} is built"


def test_the_metrics_exist() -> None:
    known = {PREFIX + family.name for family in FAMILIES}
    named = set(re.findall(r"^\| (.*?) \|", section("docs/operations.md", "Metrics"), re.MULTILINE))
    words = {word for cell in named for word in re.findall(r"`(dicomgate_[a-z_]+)`", cell)}
    assert words
    assert words <= known


def test_the_reasons_exist() -> None:
    rows = [
        row for row in section("docs/troubleshooting.md", "What the device says").splitlines() if row.startswith("| ")
    ][1:]
    named = {word for row in rows for word in re.findall(r"`([a-z_]+)`", row.split("|")[2])}
    assert named
    assert named <= set(Reason)
    # What a device mostly does wrong: it has a line of its own, because the device gives no hint at the cause.
    assert {"address_limit", "client_certificate_wrong_ca", "request_ambiguous", "tls_on_plain"} <= named


def test_a_reason_is_looked_up_in_the_refusals_first() -> None:
    row = next(line for line in read("README.md").splitlines() if "look up a reason" in line)
    assert re.findall(r"\]\((.*?)\)", row)[0] == "docs/refusals.md"


def test_the_defaults_of_the_limits_are_those_of_the_code() -> None:
    reference = read("examples/reference.yaml")
    for key, default in re.findall(r"^\| `limits\.(\w+)` \| (\S+) \|", read("docs/operations.md"), re.MULTILINE):
        assert re.search(rf"^  {key}: {default}\b", reference, re.MULTILINE), key
