"""The graph of imports between the files of `proxy`: those inside functions and under TYPE_CHECKING count as well."""

import ast
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tests.figures.sources import Source

Graph = Mapping[str, frozenset[str]]
_EXACT = 12  # files of a circle up to which the fewest arrows that run up are searched for: 2**12 subsets


@dataclass(frozen=True)
class Imports:
    """The graph in figures. `net_upward`: the fewest arrows inside `net` that run up, however its files are stacked."""

    folders: int
    arrows_between_folders: int
    circles: list[list[str]]
    net_files: int
    net_arrows: int
    net_upward: int
    net_floors: int


def measure(sources: Sequence[Source]) -> Imports:
    """Count folders, arrows and circles."""
    graph = import_graph(sources)
    folders = {source.folder for source in sources} - {""}
    between = {
        (_folder(importer), _folder(imported))
        for importer, targets in graph.items()
        for imported in targets
        if _folder(importer) and _folder(imported) and _folder(importer) != _folder(imported)
    }
    net = {
        name: targets for name, targets in graph.items() if _folder(name) == "net" and not name.endswith("__init__.py")
    }
    inside = {name: frozenset(target for target in targets if target in net) for name, targets in net.items()}
    return Imports(
        folders=len(folders),
        arrows_between_folders=len(between),
        circles=circles(graph),
        net_files=len(inside),
        net_arrows=sum(map(len, inside.values())),
        net_upward=sum(upward(inside, circle) for circle in circles(inside)),
        net_floors=floors(inside),
    )


def import_graph(sources: Sequence[Source]) -> dict[str, frozenset[str]]:
    """File -> the files that it imports."""
    known = {source.name for source in sources}
    return {source.name: frozenset(_targets(source, known) - {source.name}) for source in sources}


def _targets(source: Source, known: Collection[str]) -> set[str]:
    package = ["proxy", *source.name.split("/")[:-1]]
    found = set()
    for node in ast.walk(source.tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *(node.module.split(".") if node.module else [])])
            # A name of a module, or a module of a package: the longer path is tried first.
            names = [f"{origin}.{alias.name}" for alias in node.names]
        found |= {file for name in names if (file := _file_of(name, known))}
    return found


def _file_of(dotted: str, known: Collection[str]) -> str | None:
    parts = dotted.split(".")
    if parts[0] != "proxy":
        return None
    for end in (len(parts), len(parts) - 1):
        path = "/".join(parts[1:end])
        for name in (f"{path}.py", f"{path}/__init__.py" if path else "__init__.py"):
            if name in known:
                return name
    return None


def circles(graph: Graph) -> list[list[str]]:
    """The groups of files that import one another, directly or not (strongly connected components of two or more)."""
    reach = {name: _reachable(graph, name) for name in graph}
    groups = {
        frozenset(other for other in reach[name] if name in reach[other]) for name in graph if name in reach[name]
    }
    return sorted(sorted(group) for group in groups)


def _reachable(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    left = list(graph[start])
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += graph.get(name, ())
    return seen


def upward(graph: Graph, circle: Sequence[str]) -> int:
    """The fewest arrows inside a circle that run up, over all orders of its files; their number if it is too large."""
    if len(circle) > _EXACT:
        return sum(len(graph[name].intersection(circle)) for name in circle)
    fewest = {frozenset[str](): 0}
    for size in range(1, len(circle) + 1):
        for group in map(frozenset, itertools.combinations(circle, size)):
            # The file on top of the group may import all of it. Each file below that imports the top one runs up.
            fewest[group] = min(
                fewest[group - {top}] + sum(top in graph[name] for name in group - {top}) for top in group
            )
    return fewest[frozenset(circle)]


def floors(graph: Graph) -> int:
    """Files on the longest way down; 0 where a circle leaves no way a length."""
    if circles(graph):
        return 0
    depth: dict[str, int] = {}

    def below(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max(map(below, graph[name]), default=0)
        return depth[name]

    return max(map(below, graph), default=0)


def _folder(name: str) -> str:
    return name.partition("/")[0] if "/" in name else ""
