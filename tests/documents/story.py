"""Follows a document as its reader does: writes every file, types every command, compares every output.

Offline, commands that need a running server are left to tests/integration/test_documents_run.py; all others are typed.
A document begins in an empty folder or, with `<!-- begins: where the README ends -->`, in the folder the README leaves.

`python -m tests.documents.story README.md docs/*.md` writes outputs that differ into the documents.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from proxy.cli.__main__ import main
from proxy.config.load import load
from tests.documents import blocks as documents
from tests.documents.blocks import REPOSITORY, Block, Command
from tests.support import balancers
from tests.support.listening import is_listening, need
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, Child, clean_environment, until

BEGINS = "<!-- begins: where the README ends -->"
#: Commands that stay in the foreground until they are ended.
SERVERS = ("dicomgate run", "python -m pynetdicom storescp", "haproxy", "nginx")
#: Commands that need one of these.
ASKING = (
    *(f"dicomgate {verb}" for verb in ("echo", "reload", "drain", "stop", "disconnect", "status", "top")),
    "curl",
    "/usr/bin/echoscu",
)
#: Commands that no test types, and why. tests/unit/test_documents_followed.py still checks the names in them.
_NETWORK, _ROOT, _SYSTEMD = "installs from the network", "changes the machine, as root", "needs systemd as process 1"
ELSEWHERE = {
    r"make (demo|test|check|soak|fuzz|bench)": f"{_NETWORK}; continuous integration types them",
    r"python3 -m venv /opt/dicomgate": _ROOT,
    r"/opt/dicomgate/bin/pip install \.": _NETWORK,
    r"ln -s /opt/dicomgate/.*": _ROOT,
    r"useradd .*": _ROOT,
    r"install .*": _ROOT,
    r"chown .*": _ROOT,
    r"runuser .*": "needs the user dicomgate",
    r"systemctl .*": _SYSTEMD,
    r"export PATH=.*": "the tests have a PATH of their own",
}
#: Programs that a machine need not have: without them the test is skipped, and says so.
PROGRAMS = ("curl", "/usr/bin/echoscu")
#: The ports that documents name. Online, each is replaced by a free port of this machine.
PORTS = ("2762", "2763", "2764", "11112", "9280")


def is_elsewhere(command: Command) -> bool:
    return any(re.fullmatch(pattern, command.text, re.DOTALL) for pattern in ELSEWHERE)


def needs_a_server(command: Command) -> bool:
    return " ".join(command.words).startswith((*SERVERS, *ASKING))


def needs_servers(document: str) -> bool:
    return any(map(needs_a_server, documents.typed(document)))


class Story:
    """One reader in one folder. `online`: servers run too, on free ports.

    `outputs` holds, by the place of the command, each output that differs from the document.
    """

    def __init__(self, folder: Path, *, online: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._online = online
        self._ports = {port: str(free_port()) for port in PORTS} if online else {}
        self._servers: list[tuple[Command, Child]] = []
        self._environment = {"PATH": f"{_programs(folder.parent / 'bin')}:/usr/sbin:{os.environ['PATH']}"}
        self.outputs: dict[str, str] = {}

    def follow(self, document: str) -> None:
        """Follow a document to its end. Raises AssertionError for a configuration with other findings than it says."""
        if BEGINS in documents.read(document):
            before = Story(self._folder, online=False)
            before.follow("README.md")
        try:
            for block in documents.blocks(document):
                self._follow(block)
            for command, server in self._servers:
                self._expect(command, server)
        finally:
            self._end()

    def _follow(self, block: Block) -> None:
        if block.language == "console":
            for command in block.commands:
                if not is_elsewhere(command) and (self._online or not needs_a_server(command)):
                    self._type(command, REPOSITORY if block.mark == "in the repository" else self._folder)
        elif block.file is not None:
            (self._folder / block.file).write_text(self._here(block.text))
            if block.language == "yaml" and block.mark.startswith("file: "):
                self._check(block, self._folder / block.file, [])
        elif block.part_of is not None:
            name, codes = block.part_of
            whole = self._folder / f"merged-{name}"
            merged = _merge(_tree((self._folder / name).read_text()), _tree(self._here(block.text)))
            whole.write_text(yaml.dump(merged, sort_keys=False))
            self._check(block, whole, codes)
            whole.unlink()

    def _check(self, block: Block, path: Path, codes: list[str]) -> None:
        with contextlib.chdir(self._folder):
            loaded = load(Path(path.name), environ=dict(os.environ) | {"CREDENTIALS_DIRECTORY": str(self._folder)})
        found = [f"{finding.code} {finding}" for finding in loaded.findings]
        assert sorted(line.split()[0] for line in found) == sorted(codes), f"{block}: {found}"

    # --- commands ---------------------------------------------------------------------------------------------------

    def _type(self, command: Command, folder: Path) -> None:
        self._localise()
        if " ".join(command.words).startswith(SERVERS):
            self._serve(command)
            return
        output = self._run(command, folder)
        if not command.printed(output):
            self.outputs[command.place] = command.retold(output)

    def _run(self, command: Command, folder: Path) -> str:
        if command.words[0] in PROGRAMS:
            need(command.words[0])
        text = self._here(command.text.replace("\\\n", " "))
        if not self._online and text.startswith("dicomgate ") and not re.search(r"[|<>;&$*]", text):
            said = io.StringIO()  # in this process: a process for each command would cost half a second each
            with contextlib.chdir(folder), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                main(shlex.split(text)[1:])
            return said.getvalue()
        ran = subprocess.run(
            ["bash", "-c", text],
            cwd=folder,
            env=self._environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=3 * PATIENCE,
        )
        return self._as_documented(ran.stdout)

    def _environ(self) -> dict[str, str]:
        extra = {**self._environment, "DICOMGATE_CONTROL": str(self._folder / "control.sock")}
        return clean_environment(extra) | {"PYTHONWARNINGS": "default", "PYTHONUNBUFFERED": "1"}

    def _localise(self) -> None:
        """Set the keys whose defaults two gateways on one machine cannot share."""
        if not self._online:
            return
        for config in self._folder.glob("*.yaml"):
            if (text := config.read_text()).startswith("version: 1") or "\nversion: 1" in text:
                self._localise_one(config, text)

    def _localise_one(self, config: Path, before: str) -> None:
        text = self._here(before)
        for key, value in (
            ("admin", f'{{listen: "127.0.0.1:{self._ports["9280"]}"}}'),
            ("control", str(self._folder / "control.sock")),
            ("log", "{format: console}"),  # as on a terminal
        ):
            if not re.search(rf"^{key}:", text, re.MULTILINE):
                text += f"{key}: {value}\n"
        if text != before:
            config.write_text(text)

    def _here(self, text: str) -> str:
        for documented, port in self._ports.items():
            text = re.sub(rf"(?<![\d.]){documented}(?!\d)", port, text)
        return text

    def _as_documented(self, text: str) -> str:
        for documented, port in self._ports.items():
            text = text.replace(port, documented)
        return text

    # --- servers ----------------------------------------------------------------------------------------------------

    def _serve(self, command: Command) -> None:
        words = shlex.split(self._here(command.text))
        if words[0] in ("haproxy", "nginx"):
            balancers.need(words[0], balancers.STREAM_MODULE if words[0] == "nginx" else None)
        files = [path.read_text() for word in words if (path := self._folder / word).is_file()]
        ports = [int(port) for port in self._ports.values() if any(port in text for text in (*words, *files))]
        taken = {port for port in ports if is_listening(port)}
        child = Child(["env", *words], cwd=self._folder, env=self._environ())
        self._servers.append((command, child))

        def ready() -> bool:
            assert child.alive, f"{command.place}: ended with {child.process.returncode}: {child.text}"
            if words[0] == "dicomgate":
                return any("started" in line for line in child.output)
            return any(is_listening(port) for port in ports if port not in taken)

        until(ready, f"{command.place}: {command.text} is ready", 3 * PATIENCE)

    def _expect(self, command: Command, server: Child) -> None:
        """Wait for the lines that the document shows of a server; it may print others between and after them."""
        try:
            until(lambda: command.printed_in(self._as_documented(server.text)), f"{command.place}: its output")
        except AssertionError:
            self.outputs[command.place] = self._as_documented(f"{server.text}\n")

    def _end(self) -> None:
        for command, child in reversed(self._servers):
            code = child.end()
            if command.text.startswith("dicomgate run"):
                assert code == 0, f"{command.place}: exit code {code}: {child.text}"
        self._servers.clear()


def _programs(folder: Path) -> Path:
    """Make a folder in which `dicomgate` and `python` run this source; return it."""
    folder.mkdir(exist_ok=True)
    for name, arguments in (("dicomgate", "-m proxy.cli "), ("python", "")):
        program = folder / name
        program.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} {arguments}"$@"\n')
        program.chmod(0o755)
    return folder


class _Text(yaml.BaseLoader):
    """Reads every scalar but null as text, as the configuration does."""


_Text.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("null$"), ["n"])
_Text.add_constructor("tag:yaml.org,2002:null", lambda loader, node: None)


def _tree(text: str) -> Any:
    return yaml.load(text, Loader=_Text)


def _merge(whole: Any, part: Any) -> Any:
    """`part` over `whole`, key by key; a list replaces a list."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return {**whole, **{key: _merge(whole.get(key), value) for key, value in part.items()}}
    return part


def _rewritten(document: str, outputs: dict[str, str]) -> Iterator[str]:
    """The lines of a document with these outputs in place of its own."""
    lines = documents.read(document).splitlines()
    places = {int(place.rpartition(":")[2]): output for place, output in outputs.items()}
    skipping, command = False, False
    for number, line in enumerate(lines, 1):
        if line.startswith(("$ ", "```")):
            skipping = False
        if number in places:
            skipping, command = True, line.endswith("\\")
            yield line
            if not command:
                yield from places[number].splitlines()
        elif skipping and command and line.startswith("> "):
            command = line.endswith("\\")
            yield line
            if not command:
                last = max(place for place in places if place < number)
                yield from places[last].splitlines()
        elif not skipping:
            yield line


def rewrite(names: Sequence[str]) -> None:
    """Write the outputs that differ into these documents."""
    for document in names:
        with tempfile.TemporaryDirectory() as folder:
            story = Story(Path(folder) / "story", online=needs_servers(document))
            story.follow(document)
            if story.outputs:
                print(f"{document}: {len(story.outputs)} outputs written: look at them")
                (REPOSITORY / document).write_text("\n".join(_rewritten(document, story.outputs)) + "\n")


if __name__ == "__main__":
    assert shutil.which("bash")
    rewrite(sys.argv[1:])
