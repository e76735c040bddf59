"""What README.md says is so: its configuration loads, its commands exist, its lists are complete."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from proxy.cli.__main__ import VERBS, main, module_of
from proxy.config.load import load
from proxy.config.unbuilt import UNBUILT
from proxy.observe.families import FAMILIES, PREFIX
from proxy.policy import Reason

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()


def section(title: str) -> str:
    """The text below a heading of the second level."""
    _, found, rest = README.partition(f"\n## {title}\n")
    assert found, title
    return rest.partition("\n## ")[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def without_dates(text: str) -> str:
    """Text that does not depend on the day on which certificates were issued."""
    return re.sub(r"\d{4}-\d\d-\d\d", "DATE", text)


def commands() -> list[list[str]]:
    """Every dicomgate command of the README, in blocks and in the text."""
    typed = [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    named = re.findall(r"`(dicomgate [^`]+)`", README)
    return [shlex.split(command)[1:] for command in (*typed, *named)]


def command_of(verb: str) -> Any:
    module = module_of(verb)
    if hasattr(module, "app"):
        return typer.main.get_command(module.app)
    application = typer.Typer(add_completion=False)
    application.command(verb)(module.command)
    return typer.main.get_command(application)


@pytest.mark.parametrize("words", commands(), ids=shlex.join)
def test_every_command_exists(words: list[str]) -> None:
    assert words[0] in VERBS
    command = command_of(words[0])
    if hasattr(command, "commands"):
        command = command.commands[words[1]]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_first_configuration_loads_without_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in commands():
        if words[:2] in (["pki", "init"], ["pki", "issue"]):
            assert main(words) == 0
    Path("config.yaml").write_text(blocks("yaml")[0])
    loaded = load(Path("config.yaml"), environ={})
    assert loaded.findings == []
    assert loaded.config is not None
    assert main(["check", "--strict", "--config", "config.yaml"]) == 0


@pytest.mark.parametrize(("verb", "code"), [("check", 0), ("explain", 1)])
def test_what_the_readme_shows_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in commands():
        if words[:2] in (["pki", "init"], ["pki", "issue"]):
            main(words)
    Path("config.yaml").write_text(blocks("yaml")[0])
    shown = next(block for block in blocks("console") if block.startswith(f"$ dicomgate {verb} "))
    command, _, output = shown.partition("\n")
    capsys.readouterr()
    assert main(shlex.split(command)[2:]) == code
    assert without_dates(capsys.readouterr().out) == without_dates(output)


def test_exactly_the_unbuilt_keys_are_named() -> None:
    unbuilt = {pattern.replace("*.", "") for pattern in UNBUILT}
    cells = [row.split("|")[1] for row in section("What is not built yet").splitlines() if row.startswith("| `")]
    named = {key for cell in cells for key in re.findall(r"`([a-z_.]+)`", cell)}  # each by the end of its path
    for key in unbuilt:
        assert any(key == name or key.endswith(f".{name}") for name in named), f"{key} is not built, and not in README"
    for name in named:
        assert any(key == name or key.endswith(f".{name}") for key in unbuilt), f"{name} is built"


def test_the_metrics_exist() -> None:
    known = {PREFIX + family.name for family in FAMILIES}
    named = set(re.findall(r"`(dicomgate_[a-z_]+)`", section("Metrics")))
    assert named
    assert named <= known


def test_the_reasons_exist() -> None:
    rows = [row for row in section("The modality cannot send").splitlines() if row.startswith("| ")][1:]
    named = {word for row in rows for word in re.findall(r"`([a-z_]+)`", row.split("|")[2])}
    assert named
    assert named <= set(Reason)


def test_files_and_make_targets_are_there() -> None:
    for link in re.findall(r"\]\(([^):]+)\)", README):
        assert (REPOSITORY / link).exists(), link
    makefile = (REPOSITORY / "Makefile").read_text()
    for document in (README, (REPOSITORY / "CONTRIBUTING.md").read_text()):
        for target in re.findall(r"^    make (\w+)", document, re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
