"""The JSON Schema of the configuration, generated from the models: `dicomgate schema`, and its copy schema.json."""

import copy
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from proxy.config.models_root import Configuration

_NULL = {"type": "null"}


class _Definitions(GenerateJsonSchema):
    """Gives each definition the name of its block in the file: `Listener`, not `ListenerModel`."""

    def normalize_name(self, name: str) -> str:
        return super().normalize_name(name).removesuffix("Model")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) for editors and pipelines. `dicomgate check` checks more than it can express."""
    schema = Configuration.model_json_schema(by_alias=True, schema_generator=_Definitions)
    defaults = copy.deepcopy(schema["$defs"]["Tenant"])
    defaults.pop("required")
    defaults["description"] = schema["properties"]["tenant_defaults"]["description"]
    schema["properties"]["tenant_defaults"] = defaults
    _as_written(schema)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "dicomgate configuration"}
    return {**head, **{key: value for key, value in schema.items() if key not in head}}


def _as_written(node: object) -> None:
    """Change the schema in place from the types of the models to the text that a file may contain."""
    if isinstance(node, list):
        for item in node:
            _as_written(item)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("title"), str):
        del node["title"]  # pydantic derives it from the key, so it adds nothing
    takes_null = {"const": None} in node.get("anyOf", ())
    if node.get("default") in ([], {}) or (node.get("default") is None and not takes_null):
        node.pop("default", None)
    # The models write defaults as text; an editor compares a default with the type of its key.
    if node.get("type") == "integer" and "default" in node:
        node["default"] = int(node["default"])
    if node.get("type") == "boolean" and "default" in node:
        node["default"] = node["default"] == "true"
    # The null of pydantic stands for a key that is left out. Where `null` may be written, `_Instead` has put a const.
    if "anyOf" in node:
        choices = [choice for choice in node["anyOf"] if choice != _NULL]
        node["anyOf"] = choices
        if len(choices) == 1:
            del node["anyOf"]
            node.update({**choices[0], **node})
    # A list or mapping that is present but empty is an error (E106) for the loader too.
    if node.get("type") == "array":
        node["minItems"] = 1
    if node.get("type") == "object":
        node["minProperties"] = 1
    for value in list(node.values()):
        _as_written(value)
