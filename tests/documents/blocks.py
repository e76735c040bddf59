"""The documents of the project as data: their blocks, the commands in them, their links.

A fenced block says in the comment on the line before it (its mark) what a test does with it:

    <!-- file: NAME -->          the block is this file, whole
    <!-- included file: NAME --> the same for a file that another one includes: it is not checked by itself
    <!-- part of: NAME -->       the block is merged into this file, and the result is checked; the file stays as it is
    <!-- part of: NAME, finds W207 -->    ... and these are its findings
    <!-- in the repository -->   the commands are typed in the root of the repository

In a block of `console` a line that begins with `$ ` is typed (`> ` continues it), the lines below it are the output.
`...` stands for any text within its line; alone on a line it stands for any lines.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "deploy/README.md",
    *sorted(str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "docs").rglob("*.md")),
)

_FENCE = re.compile(r" *```([a-z]*)$")
_MARK = re.compile(r"<!-- (.+) -->$")
#: Text that differs from run to run, replaced on both sides of a comparison.
_VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "<date>"),
    (re.compile(r"\d+\.\d ms"), "<ms>"),
    (re.compile(r"\b\d+ days left"), "<days> left"),
    (re.compile(r"pid \d+"), "pid <pid>"),
    (re.compile(r"up \d+ s"), "up <s>"),
    (re.compile(r"password: \w+"), "password: <password>"),
    (re.compile(r"[ \t]+"), " "),
)


@dataclass(frozen=True)
class Block:
    """A fenced block. `line`: of its first line of text, from 1. `mark`: "" without one."""

    document: str
    line: int
    language: str
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name of the file that the block is, or None."""
        kind, _, name = self.mark.partition("file: ")
        return name if kind in ("", "included ") and name else None

    @property
    def part_of(self) -> tuple[str, list[str]] | None:
        """The file that the block is merged into, and the codes of the findings then; None for another block."""
        if not self.mark.startswith("part of: "):
            return None
        name, _, finds = self.mark.removeprefix("part of: ").partition(", finds ")
        return name, finds.split()

    @property
    def commands(self) -> list["Command"]:
        """The commands of a block of `console`. Raises ValueError for output without a command above it."""
        found: list[Command] = []
        for number, line in enumerate(self.text.splitlines(), self.line):
            if line.startswith("$ "):
                found.append(Command(f"{self.document}:{number}", line[2:], ""))
            elif not found:
                raise ValueError(f"{self.document}:{number}: output without a command")
            elif line.startswith("> ") and not found[-1].output and found[-1].text.endswith("\\"):
                found[-1] = Command(found[-1].place, f"{found[-1].text}\n{line[2:]}", "")
            else:
                found[-1] = Command(found[-1].place, found[-1].text, f"{found[-1].output}{line}\n")
        return found


@dataclass(frozen=True)
class Command:
    """A command and the output that the document shows for it."""

    place: str
    text: str
    output: str

    @property
    def words(self) -> list[str]:
        """The command split at spaces, without regard to quotes: enough to see which program it starts."""
        return self.text.replace("\\\n", " ").split()

    def printed(self, output: str) -> bool:
        """Return whether `output` is what the document shows."""
        return _pattern(self.output).fullmatch(_stable(output)) is not None

    def retold(self, output: str) -> str:
        """Return `output`, with a line of the document (which may have `...`) in place of each line that it matches."""
        shown = [line for line in self.output.splitlines() if line != "..."]
        lines = []
        for line in output.splitlines():
            stable = _stable(line).rstrip("\n")
            lines.append(next((old for old in shown if _line(old).fullmatch(stable)), line))
        return "".join(f"{line}\n" for line in lines)

    def printed_in(self, output: str) -> bool:
        """Return whether the lines of the document occur in `output` in this order, others between them or not."""
        return all_in_order(self.output.splitlines(), output)


def all_in_order(wanted: list[str], output: str) -> bool:
    """Return whether each wanted line, which may have `...`, matches a line of `output`, in this order."""
    lines = iter(_stable(output).splitlines())
    return all(line == "..." or any(_line(line).fullmatch(found) for found in lines) for line in wanted)


def _stable(text: str) -> str:
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _line(shown: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, _stable(shown).rstrip("\n").split("..."))))


def _pattern(shown: str) -> re.Pattern[str]:
    lines = [r"(?:.*\n)*?" if line == "..." else _line(line).pattern + r"\n" for line in shown.splitlines()]
    return re.compile("".join(lines))


def read(document: str) -> str:
    return (REPOSITORY / document).read_text()


def blocks(document: str) -> list[Block]:
    """Every fenced block of a document, in order."""
    found: list[Block] = []
    language, mark, first, text = None, "", 0, list[str]()
    before = ""
    for number, line in enumerate(read(document).splitlines(), 1):
        fence = _FENCE.match(line)
        if language is None and fence:
            marked = _MARK.match(before.strip())
            language, mark, first, text = fence[1], marked[1] if marked else "", number + 1, []
        elif language is not None and fence:
            found.append(Block(document, first, language, mark, "".join(f"{part}\n" for part in text)))
            language = None
        elif language is not None:
            text.append(line)
        before = line
    assert language is None, f"{document}: the block at line {first} has no end"
    return found


def prose(document: str) -> str:
    """A document without its fenced blocks; the lines keep their numbers."""
    kept, inside = [], False
    for line in read(document).splitlines():
        fence = bool(_FENCE.match(line))
        inside ^= fence
        kept.append("" if inside or fence else line)
    return "\n".join(kept)


def links(document: str) -> Iterator[str]:
    """The targets of all links of a document that lead to another file, or to a heading."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if not re.match(r"[a-z]+:", target):
            yield target


def typed(document: str) -> list[Command]:
    """Every command of the blocks of a document."""
    return [command for block in blocks(document) if block.language == "console" for command in block.commands]


def named(document: str) -> list[str]:
    """Every command of dicomgate that the text of a document names."""
    return re.findall(r"`(dicomgate [^`]+)`", prose(document).replace("\n", " "))
