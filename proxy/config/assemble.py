"""Builds one tree from the configuration file and its includes: environment expanded, `tenant_defaults` merged."""

import glob
import os
from collections.abc import Mapping

from proxy.config.expand import expand
from proxy.config.files import FileProblem, Files
from proxy.config.findings import Findings
from proxy.config.quoting import shown
from proxy.config.tree import Block, Items, Mark, Text, parse

MAXIMUM_CONFIGURATION = 4 * 1024 * 1024  # bytes of one file
MAXIMUM_INCLUDED = 1000  # files that one pattern may match; more of them are a mistake in the pattern
INCLUDABLE = ("tenants", "upstreams", "identity_providers")

#: Mappings of `tenant_defaults` that are merged key by key. Others (`ca`, `routes`) are one value each.
_MERGED = frozenset({"tls", "client_auth", "rewrite", "user_identity"})


def assemble(path: str, environ: Mapping[str, str], files: Files, report: Findings) -> Block | None:
    """Return the whole configuration as one tree, or None if the main file cannot be read."""
    root = _read(path, environ, files, report)
    if root is None:
        return None
    include = root.get("include")
    if isinstance(include, Items):  # a wrong type is reported by the models, which see the tree next
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
    path: str, environ: Mapping[str, str], files: Files, report: Findings, mark: Mark | None = None
) -> Block | None:
    try:
        content = files.read(path, MAXIMUM_CONFIGURATION)
    except FileProblem as error:
        report.add("E101", mark, "", str(error))
        return None

    def problem(code: str, mark: Mark, message: str) -> None:
        report.add(code, mark, "", message)

    root = parse(content.data, path, problem)
    if root is None:
        return None
    expanded = expand(root, environ, problem)
    assert isinstance(expanded, Block)
    return expanded


def _include(root: Block, pattern: Text, environ: Mapping[str, str], files: Files, report: Findings) -> None:
    folder = os.path.dirname(pattern.mark.file)
    if "\0" in pattern or not pattern:
        report.add("E108", pattern.mark, "include", f"{shown(pattern)} is not a pattern of files")
        return
    # Escape the folder: its name may contain `*` or `[`. `join` drops it if the pattern is absolute.
    found = files.matching(os.path.join(glob.escape(folder), pattern))
    if not found:
        report.add("E108", pattern.mark, "include", f"{shown(pattern)} matches no file")
    elif len(found) > MAXIMUM_INCLUDED:
        report.add(
            "E108",
            pattern.mark,
            "include",
            f"{shown(pattern)} matches {len(found)} files; at most {MAXIMUM_INCLUDED} are read",
        )
    else:
        for path in found:
            _include_file(root, path, pattern, environ, files, report)


def _include_file(
    root: Block, path: str, pattern: Text, environ: Mapping[str, str], files: Files, report: Findings
) -> None:
    if path in files.contents:  # read before, so a cycle of includes ends here
        report.add("E108", pattern.mark, "include", f"{path} is included twice, or includes itself")
        return
    included = _read(path, environ, files, report, pattern.mark)
    for key, section in (included or {}).items():
        assert included is not None
        key_mark = included.key_marks[key]
        if key not in INCLUDABLE:
            report.add("E108", key_mark, key, f"an included file may contain only {', '.join(INCLUDABLE)}")
        elif not isinstance(section, Block):
            report.add("E110", section.mark, key, "must be a mapping")
        else:
            target = root.setdefault(key, Block(section.mark))
            root.key_marks.setdefault(key, key_mark)  # the main file may not have the section at all
            if isinstance(target, Block):
                _add(target, section, key, report)


def _add(target: Block, section: Block, key: str, report: Findings) -> None:
    for name, node in section.items():
        mark = section.key_marks[name]
        if name in target:
            first = target.key_marks[name].file_and_line
            report.add("E203", mark, f"{key}.{name}", f"is already defined at {first}")
        else:
            target.put(name, mark, node)


def _merge(defaults: Block, block: Block) -> None:
    """Add to `block` the keys of `defaults` that it leaves out."""
    # The nodes keep their positions, so a finding in a default points at `tenant_defaults`. All tenants share them,
    # which is safe because nothing changes a tree after this.
    for key, value in defaults.items():
        if key not in block:
            block.put(key, defaults.key_marks[key], value)
            continue
        mine = block[key]
        if key in _MERGED and isinstance(value, Block) and isinstance(mine, Block):
            _merge(value, mine)


def without_defaults(root: Block) -> Block:
    """Return the tree for the models: without `tenant_defaults`, which has been merged into each tenant."""
    rest = Block(root.mark)
    for key, node in root.items():
        if key != "tenant_defaults":
            rest.put(key, root.key_marks[key], node)
    return rest
