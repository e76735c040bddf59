"""docs/reference/configuration.md, from the models of the configuration by way of their JSON Schema."""

import json
import re
from collections.abc import Iterator
from typing import Any

from proxy.config.schema import json_schema
from proxy.config.unbuilt import UNBUILT
from tests.documents.markdown import page, table

Schema = dict[str, Any]

#: What a pattern of the schema stands for.
_BY_PATTERN = {
    r"^\d{1,9}(ms|s|m|h|d)$": "duration",
    r"^(never|\d{1,9}(ms|s|m|h|d))$": "duration or `never`",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$": "name",
    r"^\d{1,12}(B|KiB|MiB|GiB)?$": "size",
    r"^\d{4}-\d{2}-\d{2}": "date or time",
    r":\d{1,5}$": "`ADDRESS:PORT`",
    r"^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$": "SHA-256 fingerprint",
    r"^[A-Za-z0-9+/]{43}=$": "SHA-256 in base64",
    r"^https?://": "URL",
    r"^ldaps?://": "LDAP URL",
}
_TITLE = 16  # characters of an AE title
#: Whose keys are the listener's where they are left out.
_INHERITS = "tenants.*.tls"
_NOT_BUILT = "**Not built yet.** "


def configuration() -> str:
    """The page."""
    schema = json_schema()
    lines = []
    for name, paths in _places(schema).items():
        definition = schema["$defs"][name]
        lines += [f"## {name}", "", f"At {', '.join(f'`{path}`' for path in paths)}. {_text(definition)}", ""]
        if "properties" in definition:
            lines += [*table(["Key", "Type", "Default", "Meaning"], _rows(definition, paths)), ""]
    return page(
        "Keys of the configuration",
        "proxy/config/models.py` and its neighbours `models_root.py` and `models_tenant.py",
        "`dicomgate schema` prints the same as JSON Schema, for editors. `examples/reference.yaml` has every key with",
        "its default in place. [configuration.md](../configuration.md) explains them with examples.",
        "",
        "A *duration* is a number with a unit: `500ms`, `10s`, `5m`, `2h`, `7d`. A *size* is a number of bytes, or of",
        "`KiB`, `MiB`, `GiB`. A *name* has letters, digits, `.`, `_` and `-`. In paths `*` stands for a name of your",
        "choice, or for each item of a list. *Mandatory* keys have no default.",
        "",
        "## Top level",
        "",
        *table(["Key", "Type", "Default", "Meaning"], _rows(schema, [""])),
        "",
        *lines,
    )


def _places(schema: Schema) -> dict[str, list[str]]:
    """Every definition with the paths at which it stands, in the order of the file."""
    found: dict[str, list[str]] = {}

    def visit(node: Schema, path: str) -> None:
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            if path not in found.setdefault(name, []):
                found[name].append(path)
                visit(schema["$defs"][name], path)
        for key, value in node.get("properties", {}).items():
            if path or key != "tenant_defaults":  # the keys of a tenant again
                visit(value, f"{path}.{key}".lstrip("."))
        for choice in _choices(node):
            visit(choice, path)
        for member in _members(node):
            visit(member, f"{path}.*")

    visit(schema, "")
    return found


def _choices(node: Schema) -> list[Schema]:
    return node.get("anyOf") or node.get("oneOf") or []


def _members(node: Schema) -> list[Schema]:
    """What a list or a mapping holds."""
    members = [node.get("items"), node.get("additionalProperties"), *node.get("patternProperties", {}).values()]
    return [member for member in members if isinstance(member, dict)]


def _rows(node: Schema, paths: list[str]) -> Iterator[tuple[str, str, str, str]]:
    for key, field in node.get("properties", {}).items():
        default = "mandatory" if key in node.get("required", ()) else _default(field)
        default = "the listener's" if paths == [_INHERITS] else default
        unbuilt = all(_is_unbuilt(f"{path}.{key}".lstrip(".")) for path in paths)
        yield f"`{key}`", _type(field), default, (_NOT_BUILT if unbuilt else "") + _text(field)


def _is_unbuilt(path: str) -> bool:
    return any(path == pattern or path.startswith(f"{pattern}.") for pattern in UNBUILT)


def _default(field: Schema) -> str:
    if "default" not in field:
        return ""
    value = field["default"]
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _text(node: Schema) -> str:
    return re.sub(r"\s+", " ", str(node.get("description", "")))


def _type(node: Schema) -> str:
    """What may be written, in words."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in node:
        return f"`{'null' if node['const'] is None else node['const']}`"
    if "enum" in node:
        return ", ".join(f"`{choice}`" for choice in node["enum"])
    if choices := _choices(node):
        return " or ".join(dict.fromkeys(map(_type, choices)))
    inside = ", ".join(map(_type, _members(node)))
    if node.get("type") == "array":
        return f"list of {inside}{'s' if inside[-1].isalpha() else ''}"
    if node.get("type") == "object":
        return f"mapping of names to {inside}" if inside else "mapping"
    return _scalar(node)


def _scalar(node: Schema) -> str:
    if node.get("pattern") in _BY_PATTERN:
        return _BY_PATTERN[node["pattern"]]
    if node.get("type") == "integer":
        least, most = node["minimum"], node.get("maximum")
        return f"`{least}`" if least == most else f"{least} to {most:,}" if most else "number"
    if node.get("type") == "boolean":
        return "`true`, `false`"
    return "AE title" if node.get("maxLength") == _TITLE else "string"
