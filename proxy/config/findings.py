"""The findings of loading a configuration, and the positions in its text that they name."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from proxy.config.codes import CODES
from proxy.config.quoting import printable
from proxy.config.tree import Block, Items, Mark, Node

MAXIMUM_FINDINGS = 500  # a limit on memory: a hostile file could cause millions


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `where`: `file:line:column`. `path`: the dotted key. Either is "" if the finding has none."""

    code: str
    severity: str  # error | warning | info
    where: str
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.path, self.message) if part)

    def to_dict(self) -> dict[str, str]:
        """Return the form for `--format json`."""
        return {
            "code": self.code,
            "severity": self.severity,
            "where": self.where,
            "path": self.path,
            "message": self.message,
        }


@dataclass(slots=True)
class Findings:
    """Collects findings. An error in `tenant_defaults` is reported once, not once for each tenant that inherits it."""

    # True also for errors beyond MAXIMUM_FINDINGS: a configuration must not load because its errors were too many.
    has_errors: bool = False
    _found: list[tuple[Mark | None, Finding]] = field(default_factory=list)
    _reported: set[tuple[str, str, str]] = field(default_factory=set)

    def add(self, code: str, mark: Mark | None, path: str, message: str) -> None:
        """Add a finding. The first letter of `code` is its severity."""
        assert code in CODES, code
        where = "" if mark is None else str(mark)
        severity = "error" if code.startswith("E") else "warning"
        self.has_errors = self.has_errors or severity == "error"
        if (code, where, message) in self._reported or len(self._found) == MAXIMUM_FINDINGS:
            return
        self._reported.add((code, where, message))
        self._found.append((mark, Finding(code, severity, printable(where), printable(path), printable(message))))

    @property
    def in_order(self) -> list[Finding]:
        """All findings in the order of the text, file by file. Findings without a position come first."""
        files = list(dict.fromkeys(mark.file for mark, _ in self._found if mark is not None))
        order = sorted(
            self._found, key=lambda entry: (files.index(entry[0].file), *entry[0][1:]) if entry[0] else (-1, 0, 0)
        )
        return [finding for _, finding in order]


#: The path of a value in the tree: keys of mappings and indexes of lists, from the top.
KeyPath = Sequence[str | int]


def locate(root: Node, path: KeyPath, *, key: bool = False) -> tuple[Mark, str]:
    """Return position and dotted path of the value at `path`. Steps that the text does not contain are left out.

    `key`: the finding is about the key itself, unknown or missing. The dotted path then ends in the last step in any
    case, and the position is that of the key if the text contains it.
    """
    node, mark, steps = root, root.mark, list[str]()
    for index, step in enumerate(path):
        last = key and index == len(path) - 1
        if isinstance(node, Block) and isinstance(step, str) and step in node:
            steps.append(step)
            key_mark = node.key_marks[step]
            node = node[step]
            # For a value that begins on a later line than its key, an editor should open the line of the key.
            mark = key_mark if last or node.mark.line != key_mark.line else node.mark
        elif isinstance(node, Items) and isinstance(step, int) and step < len(node):
            steps.append(str(step))
            node = node[step]
            mark = node.mark
        elif last:
            steps.append(str(step))
    return mark, ".".join(steps)


def lines_of(root: Block, *path: str) -> dict[str, str]:
    """Return the `file:line` of each key of the mapping at `path`, and under "" that of the mapping itself."""
    lines = {"": locate(root, path, key=True)[0].file_and_line}
    node: Node = root
    for step in path:
        assert isinstance(node, Block)  # the models have read it
        node = node[step]
    if isinstance(node, Block):
        lines.update({key: mark.file_and_line for key, mark in node.key_marks.items()})
    return lines
