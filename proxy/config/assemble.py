"""One tree from the configuration file and what it includes, `tenant_defaults` merged, the environment expanded."""

import glob
import os
from collections.abc import Mapping

from proxy.config.expand import expand
from proxy.config.files import FileProblem, Files
from proxy.config.findings import Report
from proxy.config.quoting import shown
from proxy.config.tree import Block, Items, Mark, Text, parse

MAXIMUM_CONFIGURATION = 4 * 1024 * 1024
MAXIMUM_INCLUDED = 1000
INCLUDABLE = ("tenants", "upstreams", "identity_providers")

#: Mappings of settings are merged key by key; any other (`ca`, `routes`) is one value, with names of its own in it.
_MERGED = frozenset({"tls", "client_auth", "rewrite", "user_identity"})


def assemble(path: str, environ: Mapping[str, str], files: Files, report: Report) -> Block | None:
    """The whole configuration as one tree, or None where the file cannot be read at all."""
    root = _read(path, environ, files, report)
    if root is None:
        return None
    include = root.get("include")
    if isinstance(include, Items):
        for pattern in include:
            if isinstance(pattern, Text):
                _include(root, pattern, environ, files, report)
    defaults, tenants = root.get("tenant_defaults"), root.get("tenants")
    if isinstance(defaults, Block) and isinstance(tenants, Block):
        for tenant in tenants.values():
            if isinstance(tenant, Block):
                _merge(defaults, tenant)
    elif defaults is not None and not isinstance(defaults, Block):
        report.add("E110", defaults.mark, "tenant_defaults", "must be a mapping")
    return root


def _read(
    path: str, environ: Mapping[str, str], files: Files, report: Report, mark: Mark | None = None
) -> Block | None:
    try:
        content = files.read(path, MAXIMUM_CONFIGURATION)
    except FileProblem as problem:
        report.add("E101", mark, "", str(problem))
        return None

    def tell(code: str, mark: Mark, message: str) -> None:
        report.add(code, mark, "", message)

    root = parse(content.data, path, tell)
    if root is None:
        return None
    expanded = expand(root, environ, tell)
    assert isinstance(expanded, Block)
    return expanded


def _include(root: Block, pattern: Text, environ: Mapping[str, str], files: Files, report: Report) -> None:
    folder = os.path.dirname(pattern.mark.file)
    if "\0" in pattern or not pattern:
        report.add("E108", pattern.mark, "include", f"{shown(pattern)} is not a pattern of files")
        return
    found = files.matching(os.path.join(glob.escape(folder), pattern))
    if not found:
        report.add("E108", pattern.mark, "include", f"{shown(pattern)} matches no file")
    elif len(found) > MAXIMUM_INCLUDED:
        report.add(
            "E108", pattern.mark, "include", f"{shown(pattern)} matches {len(found)} files; {MAXIMUM_INCLUDED} may be"
        )
    else:
        for path in found:
            _include_file(root, path, pattern, environ, files, report)


def _include_file(
    root: Block, path: str, pattern: Text, environ: Mapping[str, str], files: Files, report: Report
) -> None:
    if path in files.contents:
        report.add("E108", pattern.mark, "include", f"{path} is included twice, or includes itself")
        return
    included = _read(path, environ, files, report, pattern.mark)
    for key, section in (included or {}).items():
        assert included is not None
        key_mark = included.key_marks[key]
        if key not in INCLUDABLE:
            report.add("E108", key_mark, key, f"an included file may hold only {', '.join(INCLUDABLE)}")
        elif not isinstance(section, Block):
            report.add("E110", section.mark, key, "must be a mapping")
        else:
            target = root.setdefault(key, Block(section.mark))
            root.key_marks.setdefault(key, key_mark)
            if isinstance(target, Block):
                _add(target, section, key, report)


def _add(target: Block, section: Block, key: str, report: Report) -> None:
    for name, node in section.items():
        mark = section.key_marks[name]
        if name in target:
            first = target.key_marks[name].file_and_line
            report.add("E203", mark, f"{key}.{name}", f"is already defined at {first}")
        else:
            target.put(name, mark, node)


def _merge(defaults: Block, block: Block) -> None:
    for key, value in defaults.items():
        if key not in block:
            block.put(key, defaults.key_marks[key], value)
            continue
        mine = block[key]
        if key in _MERGED and isinstance(value, Block) and isinstance(mine, Block):
            merged = Block(mine.mark)
            for name, node in mine.items():
                merged.put(name, mine.key_marks[name], node)
            _merge(value, merged)
            block[key] = merged


def without_defaults(root: Block) -> Block:
    """The tree as the models take it: `tenant_defaults` has done its work."""
    rest = Block(root.mark)
    for key, node in root.items():
        if key != "tenant_defaults":
            rest.put(key, root.key_marks[key], node)
    return rest
