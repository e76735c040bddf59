"""Expands `${NAME}` and `${NAME:-default}` after parsing, so that no value of a variable can change the structure."""

import re
from collections.abc import Mapping

from proxy.config.quoting import shown
from proxy.config.tree import Block, Items, Node, Problem, Text

# The escape `$${` first, or its `${` would be a reference. Group 1 is None for a `${` without a complete `NAME}` or
# `NAME:-default}` after it, which is an error.
_REFERENCE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\})?")


def expand(node: Node, environ: Mapping[str, str], problem: Problem) -> Node:
    """Return the same tree with references to the environment replaced; `$${` becomes a literal `${`.

    As in a shell, the default applies if the variable is unset or empty. An expanded text never means null.
    """
    if isinstance(node, Block):
        block = Block(node.mark)
        for key, value in node.items():
            if "${" in key:
                problem("E109", node.key_marks[key], f"{shown(key)}: ${{...}} is expanded in values only, not in keys")
            block.put(key, node.key_marks[key], expand(value, environ, problem))
        return block
    if isinstance(node, Items):
        items = Items(node.mark)
        items.extend(expand(item, environ, problem) for item in node)
        return items
    if "${" not in node:
        return node

    def replace(match: re.Match[str]) -> str:
        name, default = match[1], match[3]
        if match[0] == "$${":
            return "${"
        if name is None:
            problem(
                "E109", node.mark, f"{shown(node)}: write ${{NAME}} or ${{NAME:-default}}, and $${{ for a literal ${{"
            )
        elif (value := environ.get(name)) or (value is not None and default is None):
            return value  # `${NAME}` of an empty variable is an empty text; only `:-` replaces it
        elif default is not None:
            return default
        else:
            problem("E109", node.mark, f"environment variable {name} is not set; ${{{name}:-...}} gives it a default")
        return ""

    return Text(_REFERENCE.sub(replace, node), node.mark, plain=False)
