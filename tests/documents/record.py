"""docs/reference/record.md, from the JSON Schema of the access record."""

import json
from collections.abc import Iterator
from typing import Any

from proxy.policy import Reason
from tests.documents.files import read
from tests.documents.markdown import code, page, table

SCHEMA = "proxy/observe/access_record.schema.json"

Schema = dict[str, Any]


def record() -> str:
    """The page."""
    schema = json.loads(read(SCHEMA))
    return page(
        "The access record",
        SCHEMA,
        schema["description"],
        "",
        "`a.b` is the field `b` of the object `a`, `a[]` an item of a list, `a.*` a member of an object with varying",
        "keys. *Always*: present in each record, or in each object that holds it.",
        "",
        *table(["Field", "Type", "Always", "Meaning"], _rows(schema, "")),
    )


def _rows(schema: Schema, prefix: str) -> Iterator[tuple[str, str, str, str]]:
    """The fields of an object, each followed by those inside it."""
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        always = "yes" if name in required else ""
        yield f"`{prefix}{name}`", _type(field), always, _meaning(field)
        yield from _inside(field, f"{prefix}{name}")


def _inside(field: Schema, path: str) -> Iterator[tuple[str, str, str, str]]:
    yield from _rows(field, f"{path}.")
    if isinstance(items := field.get("items"), dict) and items.get("type") == "object":
        yield from _rows(items, f"{path}[].")
    if isinstance(members := field.get("additionalProperties"), dict):
        yield from _rows(members, f"{path}.*.")


def _type(field: Schema) -> str:
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}s"
    return str(field.get("type", "string"))


def _meaning(field: Schema) -> str:
    choices = field.get("enum") or (field.get("items") or {}).get("enum")
    meaning = str(field.get("description", ""))
    if choices == list(Reason):
        return f"{meaning} See [refusals.md](../refusals.md)."
    return f"{meaning} One of {code(choices)}." if choices else meaning
