"""The findings of loading a configuration: one value each, in the order of the text."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from proxy.config.codes import CODES
from proxy.config.quoting import printable
from proxy.config.tree import Block, Items, Mark, Node

MAXIMUM_FINDINGS = 500  # nobody reads more, and a hostile file could hold a million


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `where` is `file:line:column`, `path` the dotted key; both may be empty where there is none."""

    code: str
    severity: str  # error | warning | info
    where: str
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.path, self.message) if part)

    def to_dict(self) -> dict[str, str]:
        """For `--format json`."""
        return {
            "code": self.code,
            "severity": self.severity,
            "where": self.where,
            "path": self.path,
            "message": self.message,
        }


@dataclass(slots=True)
class Report:
    """Collects findings. A mistake in `tenant_defaults` is told once, not once per tenant."""

    has_errors: bool = False
    _found: list[tuple[Mark | None, Finding]] = field(default_factory=list)
    _told: set[tuple[str, str, str]] = field(default_factory=set)

    def add(self, code: str, mark: Mark | None, path: str, message: str) -> None:
        """Report `message`; the severity is the first letter of the code."""
        assert code in CODES, code
        where = "" if mark is None else str(mark)
        severity = "error" if code.startswith("E") else "warning"
        self.has_errors = self.has_errors or severity == "error"
        if (code, where, message) in self._told or len(self._found) == MAXIMUM_FINDINGS:
            return
        self._told.add((code, where, message))
        self._found.append((mark, Finding(code, severity, printable(where), printable(path), printable(message))))

    @property
    def findings(self) -> list[Finding]:
        """In the order of the text: what has no place first, then file by file."""
        files = list(dict.fromkeys(mark.file for mark, _ in self._found if mark is not None))
        order = sorted(
            self._found, key=lambda entry: (files.index(entry[0].file), *entry[0][1:]) if entry[0] else (-1, 0, 0)
        )
        return [finding for _, finding in order]


#: Where a value stands in the tree: keys of mappings and indexes of lists, from the top.
KeyPath = Sequence[str | int]


def locate(root: Node, path: KeyPath, *, key: bool = False) -> tuple[Mark, str]:
    """The mark and dotted path of what `path` leads to; steps that the text does not have are left out.

    With `key`, the last step is always named, and marks its key where there is one (unknown and missing keys).
    """
    node, mark, steps = root, root.mark, list[str]()
    for index, step in enumerate(path):
        last = key and index == len(path) - 1
        if isinstance(node, Block) and isinstance(step, str) and step in node:
            steps.append(step)
            key_mark = node.key_marks[step]
            node = node[step]
            # What begins on a line of its own is found by its key.
            mark = key_mark if last or node.mark.line != key_mark.line else node.mark
        elif isinstance(node, Items) and isinstance(step, int) and step < len(node):
            steps.append(str(step))
            node = node[step]
            mark = node.mark
        elif last:
            steps.append(str(step))
    return mark, ".".join(steps)
