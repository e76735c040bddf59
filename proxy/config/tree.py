"""YAML text to a tree in which every scalar is still text and everything knows where it stands.

Built from parser events, not with a constructor: nothing is ever resolved (`0123`, `ON`, `22:30` stay text), and depth
and size are checked before anything grows. Anchors, aliases, tags, directives, a second document, a key set twice and
an empty list or mapping are errors.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import yaml

from proxy.config.quoting import shown

MAXIMUM_DEPTH = 32  # the deepest key of the reference stands at 7
MAXIMUM_KEY_LENGTH = 256

Problem = Callable[[str, "Mark", str], None]  # code, mark, message

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
    """A scalar as written. `plain`: without quotes, so that it may stand for null."""

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
    """A list and where it begins."""

    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self.mark = mark


class Block(dict[str, "Node"]):
    """A mapping, where it begins, and where each key stands."""

    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self.mark = mark
        self.key_marks: dict[str, Mark] = {}

    def put(self, key: str, key_mark: Mark, value: "Node") -> None:
        self[key] = value
        self.key_marks[key] = key_mark


Node = Text | Items | Block


def parse(data: bytes, file: str, problem: Problem) -> Block | None:
    """The mapping that the bytes of a configuration file hold, or None if they cannot be read at all.

    Everything found is told to `problem`; what comes back beside an error is good for finding more of them.
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
    """What is wrong. The parser often notices an open quote or bracket only lines behind it."""
    said = str(error.problem or error.context)
    at, begin = error.problem_mark or error.context_mark, error.context_mark
    if at is None:
        return said
    before, found = text[at.index - at.column : at.index], text[at.index : at.index + 1]
    if found == "\t":
        return "a tab, where only spaces may indent"
    if found == ":" and ": " in before:
        return f"{said}; a text with `: ` in it needs quotes"
    where = f" from line {begin.line + 1} on" if begin is not None and begin.line < at.line else ""
    return f"{said}; look at quotes, brackets and indentation{where}"


class _TooDeep(Exception):
    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self.mark = mark


class _Builder:
    """Turns the events of one file into nodes, without recursion."""

    def __init__(self, file: str, problem: Problem) -> None:
        self.file = file
        self.problem = problem
        self.root: Node | None = None
        self.open: list[Items | Block] = []
        self.keys: list[Text | None] = []  # beside `open`: the key that waits for its value

    def build(self, text: str) -> Node | None:
        documents = 0
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.problem("E104", self._mark(event), "a second document; one file holds one")
                    return self.root
                if event.version or event.tags:
                    self.problem("E104", self._mark(event), "directives are not used here")
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
            self.problem("E104", mark, "aliases are not used here: write the value out")
            self._place(Text("", mark, plain=True))
            return
        if event.anchor is not None:
            self.problem("E104", mark, "anchors are not used here")
        if getattr(event, "tag", None) is not None:
            self.problem("E104", mark, "tags are not used here: every value is read as its key needs it")
        if isinstance(event, yaml.ScalarEvent):
            self._place(Text(event.value, mark, plain=not event.style))
            return
        if len(self.open) == MAXIMUM_DEPTH:
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
            if key in parent:
                first = parent.key_marks[key].line
                self.problem("E105", key.mark, f"{shown(key)} is set twice, first in line {first}")
            else:
                parent.put(str(key), key.mark, node)
        elif isinstance(node, Text) and len(node) <= MAXIMUM_KEY_LENGTH:
            self.keys[-1] = node
        else:
            self.problem("E110", node.mark, "a key must be a short text")
            self.keys[-1] = Text("", node.mark, plain=True)
