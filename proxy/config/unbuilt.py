"""Keys of the configuration whose feature this version does not have. Remove a line of the table with its feature.

Each line has a path, and the values that request nothing (the default and its equivalents). Any other value is an
error, because a setting must never be ignored silently.
"""

from collections.abc import Iterator

from pydantic import BaseModel

from proxy.config.findings import Findings, KeyPath, locate
from proxy.config.models_root import Configuration
from proxy.config.tree import Block

UNBUILT: dict[str, tuple[object, ...]] = {
    "tenants.*.user_identity.mode": ("off",),
    "tenants.*.user_identity.providers": (None, []),
    "tenants.*.user_identity.forward": ("strip",),
    "tenants.*.user_identity.allow_plain": (False,),
    "tenants.*.peers.*.user": (None,),
    "identity_providers": (None,),
}


def check_unbuilt(configuration: Configuration, root: Block, report: Findings) -> None:
    """Report each setting that requests a feature of the table."""
    for pattern, harmless in UNBUILT.items():
        for path, value in _values(configuration, tuple(pattern.split("."))):
            if value in harmless:
                continue
            mark, dotted = locate(root, path)
            if harmless[0] is None:
                hint = "leave it out"
            else:
                hint = f"only {_written(harmless[0])} is accepted so far"
            report.add("E900", mark, dotted, f"not built yet: {hint}")


def _written(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case list():
            return f"[{', '.join(value)}]"
        case float():
            return f"{value:g}s"
        case _:
            return str(value)


def _values(node: object, pattern: tuple[str, ...], path: KeyPath = ()) -> Iterator[tuple[KeyPath, object]]:
    if not pattern:
        yield path, node
        return
    head, rest = pattern[0], pattern[1:]
    children: dict[str | int, object] = {}
    if isinstance(node, BaseModel):
        children = {head: getattr(node, head)}
    elif isinstance(node, dict):
        children = {key: value for key, value in node.items() if head in ("*", key)}
    elif isinstance(node, list):
        children = {index: value for index, value in enumerate(node) if head in ("*", str(index))}
    for step, value in children.items():
        yield from _values(value, rest, (*path, step))
