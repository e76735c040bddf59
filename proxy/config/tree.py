"""Parses YAML into a tree in which every scalar is still text and every node knows its position.

No scalar is resolved: `0123`, `ON` and `22:30` stay as written until the type of their key reads them. Anchors,
aliases, tags, directives, a second document, a key set twice and an empty list or mapping are errors.

The tree is built from parser events. `yaml.compose` would give nodes with positions for less code, but
- it recurses once per level, so that deep nesting exhausts the stack; here depth is checked as a node opens;
- it puts the node of an anchor in the place of each alias, so that a few lines make a graph that takes exponential
  time to walk; here an alias is an error at its position.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import yaml

from proxy.config.quoting import shown

MAXIMUM_DEPTH = 32  # levels; examples/reference.yaml needs 7
MAXIMUM_KEY_LENGTH = 256

Problem = Callable[[str, "Mark", str], None]  # code, mark, message

# The characters that YAML 1.1 does not call printable, and U+FEFF. Found here, they have a position for the finding.
_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_NULLS = frozenset({"null", "~"})
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, where PyYAML was built with it


class Mark(NamedTuple):
    """A position in a file, counted from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def file_and_line(self) -> str:
        return f"{self.file}:{self.line}"


class Text(str):
    """A scalar as written. `plain`: it has no quotes. Only a plain text can mean null."""

    mark: Mark
    plain: bool

    def __new__(cls, text: str, mark: Mark, *, plain: bool) -> "Text":
        self = super().__new__(cls, text)
        self.mark = mark
        self.plain = plain
        return self

    @property
    def is_null(self) -> bool:
        return self.plain and str(self) in _NULLS


class Items(list["Node"]):
    """A list and the position of its first character."""

    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self.mark = mark


class Block(dict[str, "Node"]):
    """A mapping, the position of its first character, and that of each key."""

    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self.mark = mark
        self.key_marks: dict[str, Mark] = {}

    def put(self, key: str, key_mark: Mark, value: "Node") -> None:
        self[key] = value
        self.key_marks[key] = key_mark


Node = Text | Items | Block


def parse(data: bytes, file: str, problem: Problem) -> Block | None:
    """Return the mapping in a configuration file, or None if the file contains no readable one.

    Errors go to `problem`. After an error, use the returned tree only to find further errors.
    """
    top = Mark(file, 1, 1)
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        problem("E102", Mark(file, data[: error.start].count(b"\n") + 1, 1), "not UTF-8 text: save it as UTF-8")
        return None
    if (bad := _NOT_TEXT.search(text)) is not None:
        before = text[: bad.start()]
        mark = Mark(file, before.count("\n") + 1, bad.start() - (before.rfind("\n") + 1) + 1)
        problem("E102", mark, f"character U+{ord(bad[0]):04X} is not allowed in a configuration file")
        return None
    try:
        root = _Builder(file, problem).build(text)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = top if at is None else Mark(file, at.line + 1, at.column + 1)
        problem("E103", mark, f"not valid YAML: {_in_words(error, text)}")
        return None
    except yaml.YAMLError as error:
        problem("E103", top, f"not valid YAML: {' '.join(str(error).split())}")
        return None
    except _TooDeep as error:
        problem("E107", error.mark, f"nested more than {MAXIMUM_DEPTH} levels deep")
        return None
    if root is None or (isinstance(root, Text) and (root.is_null or not root)):
        problem("E106", top, "the file is empty")
    elif not isinstance(root, Block):
        problem("E110", root.mark, "must be a mapping")
    else:
        return root
    return None


def _in_words(error: yaml.MarkedYAMLError, text: str) -> str:
    """Return the parser's message with a hint."""
    # The parser often notices an open quote or bracket many lines later, so the hint names the line where it begins.
    problem = str(error.problem or error.context)
    at, begin = error.problem_mark or error.context_mark, error.context_mark
    if at is None:
        return problem
    before, found = text[at.index - at.column : at.index], text[at.index : at.index + 1]
    if found == "\t":
        return "a tab: indent with spaces only"
    if found == ":" and ": " in before:
        return f"{problem}; put quotes around a text that contains `: `"
    where = f" from line {begin.line + 1} on" if begin is not None and begin.line < at.line else ""
    return f"{problem}; check quotes, brackets and indentation{where}"


class _TooDeep(Exception):
    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self.mark = mark


class _Builder:
    """Turns the parser events of one file into nodes, without recursion.

    `open` is a stack of the collections that have begun and not ended. `keys` is parallel to it: for a mapping, the key
    that waits for its value, or None. In a mapping the events of keys and values alternate.
    """

    def __init__(self, file: str, problem: Problem) -> None:
        self.file = file
        self.problem = problem
        self.root: Node | None = None
        self.open: list[Items | Block] = []
        self.keys: list[Text | None] = []

    def build(self, text: str) -> Node | None:
        documents = 0
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.problem("E104", self._mark(event), "a second document: a file contains only one")
                    return self.root
                if event.version or event.tags:
                    self.problem("E104", self._mark(event), "YAML directives are not supported: remove the line")
            elif isinstance(event, yaml.NodeEvent):
                self._node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self.keys.pop()
                done = self.open.pop()
                if not done:
                    kind = "list" if isinstance(done, Items) else "mapping"
                    self.problem(
                        "E106", done.mark, f"the {kind} is empty: leave it out, or write `any` where it is allowed"
                    )
        return self.root

    def _mark(self, event: yaml.Event) -> Mark:
        at = event.start_mark
        assert at is not None  # events of the parser always have one
        return Mark(self.file, at.line + 1, at.column + 1)

    def _node(self, event: yaml.NodeEvent) -> None:
        mark = self._mark(event)
        if isinstance(event, yaml.AliasEvent):
            self.problem("E104", mark, "YAML aliases are not supported: write the value out")
            # Something must take the place of the value, or the next key would be taken for it.
            self._place(Text("", mark, plain=True))
            return
        if event.anchor is not None:
            self.problem("E104", mark, "YAML anchors are not supported: write the value out")
        if getattr(event, "tag", None) is not None:
            self.problem("E104", mark, "YAML tags are not supported: the key determines how its value is read")
        if isinstance(event, yaml.ScalarEvent):
            self._place(Text(event.value, mark, plain=not event.style))
            return
        if len(self.open) == MAXIMUM_DEPTH:  # stop here: `expand` and the models recurse over the finished tree
            raise _TooDeep(mark)
        opened = Items(mark) if isinstance(event, yaml.SequenceStartEvent) else Block(mark)
        self._place(opened)
        self.open.append(opened)
        self.keys.append(None)

    def _place(self, node: Node) -> None:
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        if isinstance(parent, Items):
            parent.append(node)
            return
        key = self.keys[-1]
        if key is not None:
            self.keys[-1] = None
            if key in parent:  # parsers disagree on which of two equal keys counts: keep the first and report
                first = parent.key_marks[key].line
                self.problem("E105", key.mark, f"{shown(key)} is set twice, first in line {first}")
            else:
                parent.put(str(key), key.mark, node)
        elif isinstance(node, Text) and len(node) <= MAXIMUM_KEY_LENGTH:
            self.keys[-1] = node
        else:
            self.problem("E110", node.mark, f"a key must be a text of at most {MAXIMUM_KEY_LENGTH} characters")
            # An empty stand-in, so that the next node is this key's value. A collection used as a key is still on
            # `open` and collects its own items.
            self.keys[-1] = Text("", node.mark, plain=True)
